//! What only looks.

use std::io::{self, BufWriter, Write};

use serde::Serialize;
use serde_json::json;

use super::Output;
use crate::cli::Verdict;
use crate::history::{self, Evidences, History};

pub(super) async fn list(
    history: &History,
    limit: usize,
    output: Output,
) -> anyhow::Result<Verdict> {
    let overview = history.overview().await?;
    if let Output::Json = output {
        return json_out(&overview);
    }
    let evidences = Evidences::of(&history.log().await?);
    let mut out = BufWriter::new(io::stdout().lock());
    history::write_table(&overview, &evidences, limit, &mut out)?;
    out.flush()?;
    Ok(Verdict::Good)
}

pub(super) async fn show(history: &History, name: &str, output: Output) -> anyhow::Result<Verdict> {
    let shown = history.find(name).await?;
    let id = shown.generation.id;
    let documents = history.documents(id).await?;
    let evidences = Evidences::of(&history.log().await?);
    let evidence = evidences.get(id).filter(|_| shown.pending.is_none());
    if let Output::Json = output {
        return json_out(&json!({
            "generation": shown.generation,
            "pending": shown.pending,
            "evidence": evidence,
            "documents": documents,
        }));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    history::write_shown(&shown, &documents, evidence, &mut out)?;
    out.flush()?;
    Ok(Verdict::Good)
}

pub(super) async fn log(
    history: &History,
    limit: Option<usize>,
    output: Output,
) -> anyhow::Result<Verdict> {
    let records = history.log().await?;
    let skipped = limit.map_or(0, |limit| records.len().saturating_sub(limit));
    if let Output::Json = output {
        return json_out(&records[skipped..]);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    history::write_log(&records[skipped..], &mut out)?;
    out.flush()?;
    Ok(Verdict::Good)
}

pub(super) async fn verify(history: &History, output: Output) -> anyhow::Result<Verdict> {
    let verified = history.verify().await?;
    let verdict = match verified.findings.is_empty() {
        true => Verdict::Good,
        false => Verdict::Findings,
    };
    if let Output::Json = output {
        json_out(&verified)?;
        return Ok(verdict);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for finding in &verified.findings {
        let file = finding.file.display();
        writeln!(out, "{file}: {}\n  {}", finding.what, finding.todo)?;
    }
    let what = match verified.findings.len() {
        0 => "everything is as it was written".to_owned(),
        1 => "1 thing is wrong".to_owned(),
        count => format!("{count} things are wrong"),
    };
    writeln!(
        out,
        "{what}: {} records, {} generations, {} documents, {} bytes",
        verified.records, verified.generations, verified.objects, verified.bytes
    )?;
    if verified.orphans > 0 {
        writeln!(
            out,
            "{} files belong to no generation; `dalbi generations gc` removes them",
            verified.orphans
        )?;
    }
    out.flush()?;
    Ok(verdict)
}

/// One JSON value on standard output.
pub(super) fn json_out(value: &(impl Serialize + ?Sized)) -> anyhow::Result<Verdict> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    out.flush()?;
    Ok(Verdict::Good)
}
