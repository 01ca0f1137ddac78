//! The application of the service.

use async_trait::async_trait;
use http::Response;
use http::header::CONTENT_LENGTH;
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::protocols::http::ServerSession;

/// Answers each request with a UUID of version 7 in the header `x-request-id`.
pub struct RequestIds;

#[async_trait]
impl ServeHttp for RequestIds {
    async fn response(&self, _: &mut ServerSession) -> Response<Vec<u8>> {
        let id = fork_safe_uuid::now_v7();
        Response::builder()
            .header("x-request-id", id.to_string())
            .header(CONTENT_LENGTH, 0)
            .body(Vec::new())
            .expect("two valid headers")
    }
}
