/* The directive `uuids NUMBER;` answers a request with the worker's process id and that
 * many UUIDs made by libuuid, each on a line. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <uuid/uuid.h>

typedef struct {
	ngx_int_t number;
} uuids_conf_t;

ngx_module_t ngx_http_uuids_module;

/* Runs in the master, before it forks the workers. */
static ngx_int_t in_master(ngx_cycle_t *cycle)
{
	uuid_t id;

	(void)cycle;
	uuid_generate(id);
	return NGX_OK;
}

static ngx_int_t answer(ngx_http_request_t *r)
{
	uuids_conf_t *conf = ngx_http_get_module_loc_conf(r, ngx_http_uuids_module);
	ngx_buf_t *b = ngx_create_temp_buf(r->pool, NGX_INT64_LEN + 1 + conf->number * UUID_STR_LEN);
	ngx_chain_t out = {b, NULL};
	ngx_int_t i, rc = ngx_http_discard_request_body(r);
	uuid_t id;

	if (rc != NGX_OK)
		return rc;
	if (b == NULL)
		return NGX_HTTP_INTERNAL_SERVER_ERROR;
	b->last = ngx_sprintf(b->last, "%P\n", ngx_pid);
	for (i = 0; i < conf->number; i++) {
		uuid_generate(id);
		uuid_unparse(id, (char *)b->last);
		b->last += UUID_STR_LEN;
		b->last[-1] = '\n';
	}
	b->last_buf = 1;
	r->headers_out.status = NGX_HTTP_OK;
	r->headers_out.content_length_n = b->last - b->pos;
	rc = ngx_http_send_header(r);
	return rc == NGX_OK ? ngx_http_output_filter(r, &out) : rc;
}

static char *set_uuids(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
	ngx_http_core_loc_conf_t *core = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

	core->handler = answer;
	return ngx_conf_set_num_slot(cf, cmd, conf);
}

static void *create_conf(ngx_conf_t *cf)
{
	uuids_conf_t *conf = ngx_palloc(cf->pool, sizeof *conf);

	if (conf != NULL)
		conf->number = NGX_CONF_UNSET;
	return conf;
}

static ngx_command_t commands[] = {
	{ngx_string("uuids"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, set_uuids,
	 NGX_HTTP_LOC_CONF_OFFSET, offsetof(uuids_conf_t, number), NULL},
	ngx_null_command,
};

static ngx_http_module_t context = {.create_loc_conf = create_conf};

ngx_module_t ngx_http_uuids_module = {
	NGX_MODULE_V1,
	.ctx = &context,
	.commands = commands,
	.type = NGX_HTTP_MODULE,
	.init_module = in_master,
};
