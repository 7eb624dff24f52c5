//! One file per subcommand: its arguments, and how the rest of the crate is put to work for it.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod generations;
pub(crate) mod proxy;
pub(crate) mod run;
pub(crate) mod sim;
pub(crate) mod test;
pub(crate) mod upgrade;
pub(crate) mod upstream;

use std::collections::BTreeMap;

use clap::Args;

/// How documents are read, the same for every command that does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct LoadOptions {
    /// Labels of this dispatcher, as `istio=ingressgateway,zone=a`: serves the Gateways whose selector fits them
    /// [default: serve every Gateway]
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = labels)]
    labels: Option<Labels>,
    /// Namespace of documents that name none
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
}

/// Wrapped, since clap gives a meaning of its own to a bare map or list.
#[derive(Debug, Clone)]
struct Labels(BTreeMap<String, String>);

fn labels(text: &str) -> Result<Labels, String> {
    let pairs = text
        .split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok((key.trim().to_owned(), value.trim().to_owned()))
            }
            _ => Err(format!("`{pair}` is not a label: write `key=value`")),
        });
    Ok(Labels(pairs.collect::<Result<_, _>>()?))
}

impl LoadOptions {
    /// In the form that the mesh takes them.
    pub(crate) fn to_mesh(&self) -> mesh::Options {
        mesh::Options {
            labels: self.labels.as_ref().map(|labels| labels.0.clone()),
            default_namespace: self.namespace.clone(),
            ..mesh::Options::default()
        }
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
}
