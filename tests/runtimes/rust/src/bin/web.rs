//! A server of HTTP on axum: GET /hello greets, POST /echo sends back what was sent.

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let routes = Router::new()
        .route("/hello", get(async || "hello from Pith\n"))
        .route("/echo", post(async |body: Bytes| body))
        .layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    axum::serve(listener, routes).await
}
