//! What is taken of an answer.

use super::*;

#[tokio::test]
async fn answers_have_limits() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let small = Patience {
        max_bytes: 100,
        ..PATIENCE
    };
    let error = told(&client, &get("records/page"), &small)
        .await
        .0
        .unwrap_err();
    assert!(
        error
            .message
            .ends_with("/records/page` is larger than 100 bytes"),
        "{}",
        error.message
    );
    api.trouble([ApiTrouble::Slow(Duration::from_secs(30))]);
    let hasty = Patience {
        timeout: Duration::from_millis(200),
        retries: 0,
        ..PATIENCE
    };
    let error = told(&client, &get("records/page"), &hasty)
        .await
        .0
        .unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(
        error.message.contains("did not answer"),
        "{}",
        error.full_message()
    );
}

#[tokio::test]
async fn answers_come_packed() {
    use std::io::Write as _;
    let packed = |content: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    };
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let records = json!([{"id": 1, "note": "x".repeat(10_000)}]);
    let gzip = packed(records.to_string().as_bytes());
    assert!(gzip.len() < 200);
    api.serve_file("packed", gzip.clone(), Some("gzip"));
    let answer = send(&client, "files/packed").await.unwrap();
    assert_eq!(answer.json().unwrap(), records);
    let asked = api.calls().pop().unwrap();
    assert_eq!(asked.headers["accept-encoding"], "gzip");
    // Small on the way, larger than allowed when it is unpacked.
    api.serve_file("bomb", packed(&vec![b' '; 20_000_000]), Some("gzip"));
    api.serve_file("cut", &gzip[..gzip.len() - 5], Some("gzip"));
    api.serve_file("none", "", Some("gzip"));
    api.serve_file("other", "x", Some("br"));
    for (path, message) in [
        ("bomb", "/files/bomb` is larger than 1000000 bytes"),
        (
            "other",
            "/files/other` is packed by `br`, which nobody has asked for",
        ),
    ] {
        let error = send(&client, &format!("files/{path}")).await.unwrap_err();
        assert_eq!(error.fault, Fault::User, "{path}");
        assert!(error.message.ends_with(message), "{}", error.message);
    }
    assert!(send(&client, "files/none").await.unwrap().body.is_empty());
    let once = Patience {
        retries: 0,
        ..PATIENCE
    };
    let error = told(&client, &get("files/cut"), &once).await.0.unwrap_err();
    assert_eq!((error.fault, error.retryable), (Fault::External, true));
    assert!(
        error.message.contains("is damaged or cut off"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_is_no_json_is_told() {
    let api = TestApi::start();
    let client = client(&api.url(), &[]).unwrap();
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    for (trouble, message) in [
        (
            ApiTrouble::Html,
            "with HTML, where JSON was expected: <!DOCTYPE html>",
        ),
        (
            ApiTrouble::Text(deep),
            "with JSON that is nested deeper than 128 levels",
        ),
        (
            ApiTrouble::Text("{\"a\": 1,}".to_owned()),
            "with what is no JSON at line 1, column 9 (trailing comma): {\"a\": 1,}",
        ),
        (
            ApiTrouble::Text(String::new()),
            "with nothing, where JSON was expected",
        ),
    ] {
        api.trouble([trouble]);
        let error = send(&client, "records/page")
            .await
            .unwrap()
            .json()
            .unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
    }
}
