//! A client of HTTP that sees every byte.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use serde_json::Value;

/// A port that is free.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What is answered to a `GET`, its status line first; nothing when the port is closed.
pub(crate) fn ask(port: u16, path: &str) -> Option<String> {
    exchange(port, "GET", path, "", "")
}

/// The status and the JSON that are answered to a `GET`.
#[track_caller]
pub(crate) fn get(port: u16, path: &str) -> (u16, Value) {
    read(&ask(port, path).expect("it listens"))
}

/// The status and the JSON that are answered to a `POST` of `body`.
#[track_caller]
pub(crate) fn post(port: u16, path: &str, kind: &str, body: &str) -> (u16, Value) {
    let kind = format!("content-type: {kind}\r\n");
    read(&exchange(port, "POST", path, &kind, body).expect("it listens"))
}

fn exchange(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[track_caller]
fn read(answer: &str) -> (u16, Value) {
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    (status, body)
}
