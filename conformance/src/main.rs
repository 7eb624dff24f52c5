//! Runs the cases and shows what came of them: `cargo xtask conformance`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use conformance::{Binary, folder, gateway_api, istio};

/// Runs third-party conformance cases against the binary.
#[derive(Debug, Parser)]
struct Cli {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Write the table to docs/conformance.md, below the folder that this is started in
    #[arg(long, conflicts_with = "filter")]
    write: bool,
}

/// Where the table stands in the repository.
const DOCUMENT: &str = "docs/conformance.md";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(Cli::parse())));
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Some(folder) = folder::locate("conformance") else {
        return Ok(ExitCode::FAILURE);
    };
    let binary = Binary::locate()?;
    let options = gateway_api::Options {
        filter: cli.filter.clone(),
    };
    let gateway_api = gateway_api::run(&folder, binary.clone(), &options).await?;
    let istio = istio::run(&folder, binary, cli.filter.as_deref()).await?;
    if cli.write {
        std::fs::write(DOCUMENT, conformance::document(&gateway_api, &istio))
            .with_context(|| format!("write {DOCUMENT}; start this in the repository"))?;
    }
    let reports = [gateway_api, istio];
    for report in &reports {
        print!("{}", report.table());
    }
    let wrong = reports.iter().any(|report| report.wrong().next().is_some());
    Ok(if wrong {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
