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

impl Values<'_> {
    /// `text`, `"… ${{ env.NAME }} …"`, `{env: NAME}` or `{file: path}`.
    pub(super) fn text(&self, reader: &mut Reader<'_>, node: &Node) -> Option<String> {
        match &node.value {
            NodeValue::Text(text) if interpolation::has_expression(text) => {
                self.interpolated(reader, node, text)
            }
            NodeValue::Map(_) => self.source(reader, node),
            _ => reader.text(node).map(|text| text.value.to_string()),
        }
    }

    fn source(&self, reader: &mut Reader<'_>, node: &Node) -> Option<String> {
        let section = reader.section(node, "a value", &["env", "file"])?;
        match (section.get("env"), section.get("file")) {
            (Some(name), None) => {
                let name = reader.text(name)?;
                self.variable(reader, &name.value, node)
            }
            (None, Some(path)) => {
                let text = reader.text(path)?;
                match std::fs::read_to_string(self.root.join(&*text.value)) {
                    Ok(secret) => Some(secret.trim_end_matches(['\n', '\r']).to_owned()),
                    Err(error) => {
                        reader.found.error(
                            codes::PROJECT,
                            path.mark,
                            format!("cannot read `{}`: {error}", text.value),
                        );
                        None
                    }
                }
            }
            _ => {
                reader.found.error(
                    codes::PROJECT,
                    node.mark,
                    "this is either `{env: NAME}` or `{file: path}`",
                );
                None
            }
        }
    }

    fn interpolated(&self, reader: &mut Reader<'_>, node: &Node, text: &str) -> Option<String> {
        let Ok(pieces) = interpolation::split(text) else {
            reader
                .found
                .error(codes::EXPRESSION, node.mark, "this `${{` has no `}}`");
            return None;
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
                        return None;
                    };
                    value.push_str(&self.variable(reader, name, node)?);
                }
            }
        }
        Some(value)
    }

    fn variable(&self, reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<String> {
        let value = self.env.get(name).map(ToOwned::to_owned);
        if value.is_none() {
            reader.found.error(
                codes::PROJECT,
                node.mark,
                format!("the environment variable `{name}` is not set"),
            );
        }
        value
    }
}
