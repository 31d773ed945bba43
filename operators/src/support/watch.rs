//! Notices by the operating system's own means that a file may have arrived, so that a waiting sensor looks at once.
//!
//! What it tells is never trusted: the sensor lists the directory itself, and looks every `poll` in any case.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use pipectl_connections::local_directory;
use pipectl_engine::{
    operator::{Wait, Watcher},
    project::Project,
};
use tokio::sync::mpsc;

use super::files::watched;

/// Watches directories of the project for sensors that wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileWatcher;

#[async_trait]
impl Watcher for FileWatcher {
    async fn changed(&self, project: &Project, wait: &Wait) {
        if let Wait::Things {
            connection,
            pattern,
            ..
        } = wait
        {
            let root = match connection {
                None => Some(project.root.clone()),
                Some(name) => local_directory(project, name),
            };
            if let Some(root) = root
                && let Some(()) = first_change(&root, pattern).await
            {
                return;
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Returns at the first change where `pattern` looks; `None` when that cannot be watched.
async fn first_change(root: &Path, pattern: &str) -> Option<()> {
    let (directory, deep) = watched(root, pattern);
    // A directory that does not exist yet is awaited in the nearest one that does.
    let (directory, deep) = match existing(&directory) {
        found if found == directory => (found, deep),
        found => (found, true),
    };
    let (sender, mut changes) = mpsc::channel(1);
    let mut watcher: RecommendedWatcher =
        notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel already holds the news.
                let _told = sender.try_send(());
            }
        })
        .ok()?;
    let mode = if deep {
        RecursiveMode::Recursive
    } else {
        RecursiveMode::NonRecursive
    };
    watcher.watch(&directory, mode).ok()?;
    // What arrived between the sensor's look and the watch is seen at its next look, `poll` later at most.
    changes.recv().await
}

fn existing(directory: &Path) -> PathBuf {
    directory
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pipectl_engine::operator::testing::TestProject;

    use super::*;

    fn things(connection: Option<&str>, pattern: &str) -> Wait {
        Wait::Things {
            connection: connection.map(ToOwned::to_owned),
            pattern: pattern.to_owned(),
            poll: Duration::from_secs(60),
            settle: Duration::ZERO,
        }
    }

    async fn wakes(connection: Option<&str>, pattern: &str, path: &str) -> bool {
        let project = TestProject::new().with_connection("lake", "file:lake");
        project.write("in/old.csv", "x");
        let context = project.context();
        let wait = things(connection, pattern);
        let changed = FileWatcher.changed(&context.project, &wait);
        let write = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            project.write(path, "x");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = changed => true,
            () = write => false,
            () = tokio::time::sleep(Duration::from_secs(2)) => false,
        }
    }

    #[tokio::test]
    async fn a_new_file_wakes() {
        assert!(wakes(None, "in/*.csv", "in/new.csv").await);
        assert!(wakes(None, "in/**/*.csv", "in/deep/new.csv").await);
        assert!(wakes(Some("lake"), "in/*.csv", "lake/in/new.csv").await);
        assert!(wakes(None, "not/yet/there.csv", "not/yet/there.csv").await);
    }

    #[tokio::test]
    async fn another_wait_is_never_woken() {
        let project = TestProject::new().context().project;
        let wait = Wait::Model("churn".to_owned());
        let changed = FileWatcher.changed(&project, &wait);
        assert!(
            tokio::time::timeout(Duration::from_millis(20), changed)
                .await
                .is_err()
        );
    }
}
