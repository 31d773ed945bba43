//! Values of `pipectl.yaml`, which may come from the environment or from a secret file.

use std::path::Path;

use crate::{
    env::Env,
    spec::{
        codes,
        interpolation::{self, Piece},
        parse::Reader,
        yaml::{Node, NodeValue},
    },
};

/// Where values come from.
pub(super) struct Values<'a> {
    pub(super) env: &'a Env,
    pub(super) root: &'a Path,
}

/// Why there is no value.
pub(super) enum Unread {
    /// It was complained about.
    Told,
    /// It is not here: a variable or a file is missing. Nothing is wrong with what is written.
    Unset(String),
}

impl Values<'_> {
    /// `text`, `"… ${{ env.NAME }} …"`, `{env: NAME}` or `{file: path}`.
    pub(super) fn text(&self, reader: &mut Reader<'_>, node: &Node) -> Option<String> {
        match self.read(reader, node) {
            Ok(text) => Some(text),
            Err(Unread::Told) => None,
            Err(Unread::Unset(why)) => {
                reader.found.error(codes::PROJECT, node.mark, why);
                None
            }
        }
    }

    /// As [`Self::text`], but what is not set is left to the caller.
    pub(super) fn read(&self, reader: &mut Reader<'_>, node: &Node) -> Result<String, Unread> {
        match &node.value {
            NodeValue::Text(text) if interpolation::has_expression(text) => {
                self.interpolated(reader, node, text)
            }
            NodeValue::Map(_) => self.source(reader, node),
            _ => {
                let text = reader.text(node).ok_or(Unread::Told)?;
                Ok(text.value.to_string())
            }
        }
    }

    fn source(&self, reader: &mut Reader<'_>, node: &Node) -> Result<String, Unread> {
        let section = reader.section(node, "a value", &["env", "file"]);
        let section = section.ok_or(Unread::Told)?;
        match (section.get("env"), section.get("file")) {
            (Some(name), None) => {
                let name = reader.text(name).ok_or(Unread::Told)?;
                self.variable(&name.value)
            }
            (None, Some(path)) => {
                let text = reader.text(path).ok_or(Unread::Told)?;
                let read = std::fs::read_to_string(self.root.join(&*text.value));
                let secret = read.map_err(|error| {
                    Unread::Unset(format!("cannot read `{}`: {error}", text.value))
                })?;
                Ok(secret.trim_end_matches(['\n', '\r']).to_owned())
            }
            _ => {
                reader.found.error(
                    codes::PROJECT,
                    node.mark,
                    "this is either `{env: NAME}` or `{file: path}`",
                );
                Err(Unread::Told)
            }
        }
    }

    fn interpolated(
        &self,
        reader: &mut Reader<'_>,
        node: &Node,
        text: &str,
    ) -> Result<String, Unread> {
        let Ok(pieces) = interpolation::split(text) else {
            reader
                .found
                .error(codes::EXPRESSION, node.mark, "this `${{` has no `}}`");
            return Err(Unread::Told);
        };
        let mut value = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => value.push_str(text),
                Piece::Expression(inside) => {
                    let Some(name) = inside.trim().strip_prefix("env.") else {
                        reader
                            .found
                            .error(
                                codes::UNKNOWN_NAME,
                                node.mark,
                                "only `env` is in scope in the project's file",
                            )
                            .hint("`${{ env.NAME }}`");
                        return Err(Unread::Told);
                    };
                    value.push_str(&self.variable(name)?);
                }
            }
        }
        Ok(value)
    }

    fn variable(&self, name: &str) -> Result<String, Unread> {
        let value = self.env.get(name).map(ToOwned::to_owned);
        value.ok_or_else(|| {
            let how = if self.env.unreadable().any(|unreadable| unreadable == name) {
                "UTF-8"
            } else {
                "set"
            };
            Unread::Unset(format!("the environment variable `{name}` is not {how}"))
        })
    }
}
