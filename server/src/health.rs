//! `/health`, `/health/live`, `/health/ready` and `/metrics`.

use std::{io, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What a process can say of itself.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Whether it can do its work now, or why it cannot.
    async fn ready(&self) -> Result<(), String>;
    /// Its measures, in Prometheus' text format 0.0.4.
    async fn metrics(&self) -> String;
}

/// The routes that need no login: they tell nothing but whether the process is well, and its measures.
pub fn routes(vitals: Arc<dyn Vitals>) -> Router {
    Router::new()
        .route("/health", get(ready))
        .route("/health/live", get(async || "live\n"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(vitals)
}

/// Answers requests until `stop` is told; those that are under way are answered first.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, routes)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

async fn ready(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    match vitals.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {why}\n"),
        )
            .into_response(),
    }
}

async fn metrics(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    let text = vitals.metrics().await;
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Patient(Result<(), String>);

    #[async_trait]
    impl Vitals for Patient {
        async fn ready(&self) -> Result<(), String> {
            self.0.clone()
        }

        async fn metrics(&self) -> String {
            "pipectl_up 1\n".to_owned()
        }
    }

    async fn ask(state: Result<(), String>, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let work = serve(listener, routes(Arc::new(Patient(state))), stop.clone());
        let question = async {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            stop.cancel();
            answer
        };
        let (ended, answer) = tokio::join!(work, question);
        ended.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_says_whether_it_is_well() {
        for (state, path, status, body) in [
            (Ok(()), "/health", "200 OK", "ready"),
            (Ok(()), "/health/live", "200 OK", "live"),
            (
                Err("no database".to_owned()),
                "/health/ready",
                "503 Service Unavailable",
                "not ready: no database",
            ),
            (
                Err("no database".to_owned()),
                "/health/live",
                "200 OK",
                "live",
            ),
            (Ok(()), "/metrics", "200 OK", "pipectl_up 1"),
            (Ok(()), "/health/", "404 Not Found", ""),
        ] {
            let answer = ask(state, path).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{path}: {answer}"
            );
            assert!(answer.trim_end().ends_with(body), "{path}: {answer}");
        }
    }
}
