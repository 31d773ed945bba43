//! Once, however often it is tried.

use super::*;

#[tokio::test]
async fn a_retry_finds_what_was_written_and_a_redo_writes_again() {
    for project in projects() {
        let mut context = project.context_with([("people", people())]);
        let first = load(&context, json!({})).await.unwrap();
        assert_eq!(first.values["already_loaded"], json!(false));
        context.task.attempt = 2;
        let again = load(&context, json!({})).await.unwrap();
        assert_eq!(
            (&again.values["already_loaded"], &again.values["rows"]),
            (&json!(true), &json!(3))
        );
        assert_eq!(ids(&project).await, [1, 2, 3]);
        assert!(
            project
                .log()
                .iter()
                .any(|line| line.contains("an earlier attempt has already written 3 rows"))
        );
        context.run.redo = 1;
        load(&context, json!({})).await.unwrap();
        context.task.key.element = Some(0);
        load(&context, json!({})).await.unwrap();
        assert_eq!(ids(&project).await, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }
}

#[tokio::test]
async fn two_attempts_at_once_write_once() {
    for project in projects() {
        let context = project.context_with([("people", people())]);
        load(&another_run(&project, people().head(Some(0)), 9), json!({}))
            .await
            .unwrap();
        let both = tokio::join!(load(&context, json!({})), load(&context, json!({})));
        let before = [both.0.unwrap(), both.1.unwrap()]
            .map(|output| output.values["already_loaded"] == json!(true));
        assert_ne!(before[0], before[1]);
        assert_eq!(ids(&project).await, [1, 2, 3]);
    }
}

#[tokio::test]
async fn a_cancelled_attempt_leaves_nothing() {
    for project in projects() {
        let context = project.context_with([("people", people())]);
        context.cancel.cancel();
        assert!(load(&context, json!({})).await.is_err());
        let error = query(&project, "select * from people", json!([]))
            .await
            .unwrap_err();
        assert_eq!(error.fault, Fault::User, "{}", error.full_message());
        let context = project.context_with([("people", people())]);
        assert_eq!(
            load(&context, json!({})).await.unwrap().values["already_loaded"],
            json!(false)
        );
    }
}
