CREATE FUNCTION fork_safe_uuid_v4() RETURNS uuid VOLATILE PARALLEL SAFE
  LANGUAGE c AS 'MODULE_PATHNAME', 'fork_safe_uuid_v4_wrapper';
CREATE FUNCTION fork_safe_uuid_v7() RETURNS uuid VOLATILE PARALLEL SAFE
  LANGUAGE c AS 'MODULE_PATHNAME', 'fork_safe_uuid_v7_wrapper';
