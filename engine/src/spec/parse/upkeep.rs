//! `history:`, `isolation:` and `memory:`: what a pipeline may keep and take.

use super::{
    super::{
        codes,
        file::CacheFile,
        yaml::{Node, NodeValue},
    },
    Reader,
};
use crate::{kind::Kind, retention::Retention, size::parse_size, time::written_duration};

/// A run that ends is looked at by people at least for so long.
const LEAST: std::time::Duration = std::time::Duration::from_secs(60);

/// The least memory in which a process of our own can do anything.
const LEAST_MEMORY: u64 = 64 << 20;

impl Reader<'_> {
    /// `{keep: 90d, runs: 500}`.
    pub(crate) fn retention(&mut self, node: &Node) -> Option<Retention> {
        if let NodeValue::Text(text) = &node.value {
            self.found
                .error(
                    codes::WRONG_TYPE,
                    node.mark,
                    "`history` must be a map, not text",
                )
                .hint(format!("`history: {{keep: {text}}}`"));
            return None;
        }
        let section = self.section(node, "`history`", &["keep", "runs"])?;
        let (keep, runs) = (section.get("keep"), section.get("runs"));
        if keep.is_none() && runs.is_none() {
            self.found
                .error(codes::MISSING_KEY, section.mark, "`history` keeps nothing")
                .hint("`{keep: 90d}`, `{runs: 500}`, or both");
            return None;
        }
        let stretch = keep.and_then(|node| {
            let stretch = self.duration(node)?;
            if stretch < LEAST {
                let message = format!(
                    "this must be at least {}, not {}",
                    written_duration(LEAST),
                    written_duration(stretch)
                );
                self.found.error(codes::OUT_OF_RANGE, node.mark, message);
            }
            Some(stretch)
        });
        Some(Retention {
            keep: stretch,
            runs: runs.and_then(|node| self.count(node, 1)),
        })
    }

    /// A size in bytes.
    /// `cache: true`, or `cache: 7d` for no longer than that.
    pub(super) fn cache(&mut self, kind: Kind, node: &Node) -> Option<CacheFile> {
        let cache = match &node.value {
            NodeValue::Bool(false) => return None,
            NodeValue::Bool(true) => CacheFile { keep: None },
            _ => CacheFile {
                keep: Some(self.duration(node)?),
            },
        };
        if kind.acts_outside() || kind == Kind::Sensor {
            let message = format!(
                "`cache` is nothing for `{kind}`: what it does cannot be taken from an earlier run"
            );
            self.found
                .error(codes::SETTING, node.mark, message)
                .hint("leave it out");
            return None;
        }
        Some(cache)
    }

    pub(super) fn memory(&mut self, node: &Node) -> Option<u64> {
        let text = self.text(node)?;
        match parse_size(&text.value) {
            Ok(bytes) if bytes < LEAST_MEMORY => {
                let message = format!("this must be at least 64MiB, not {}", text.value);
                self.found.error(codes::OUT_OF_RANGE, node.mark, message);
                None
            }
            Ok(bytes) => Some(bytes),
            Err(message) => {
                self.found.error(codes::SIZE, node.mark, message);
                None
            }
        }
    }
}
