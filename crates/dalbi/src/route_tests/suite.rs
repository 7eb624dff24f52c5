//! All cases of some files, tried on the documents that they are about.

use std::collections::BTreeMap;

use mesh::{Diagnostic, Mesh, Severity, SourceFile};

use super::{Assumed, Case, Verdict, decode, judge};
use crate::documents::{Contents, Documents};
use crate::explain::Client;

/// A case and what came of it.
pub(crate) type Tried = (Case, Verdict);

/// Why no case was tried.
#[derive(Debug)]
pub(crate) enum Untried {
    /// The documents have errors.
    Documents(Box<Documents>),
    /// A case speaks of a client that can't be.
    Client(String),
}

/// The cases of all files, and what is wrong with these.
pub(crate) fn decode_all(tests: &[SourceFile]) -> (Vec<Case>, Vec<Diagnostic>) {
    let (mut cases, mut diagnostics) = (Vec::new(), Vec::new());
    for file in tests {
        let (of_file, wrong) = decode(file);
        cases.extend(of_file);
        diagnostics.extend(wrong);
    }
    (cases, diagnostics)
}

/// What came of each case, and how many warnings the documents have. What a client sees of the documents depends on who
/// it is, so there is a mesh for each.
pub(crate) fn try_all(
    cases: Vec<Case>,
    contents: &Contents,
    assumed: &Assumed,
    base: &mesh::Options,
) -> Result<(Vec<Tried>, usize), Untried> {
    let mut meshes: BTreeMap<Option<Client>, Mesh> = BTreeMap::new();
    let mut results = Vec::with_capacity(cases.len());
    let mut warnings = 0;
    for case in cases {
        if !meshes.contains_key(&case.from) {
            let options = match &case.from {
                Some(client) => client
                    .options(base, &contents.files)
                    .map_err(|error| Untried::Client(format!("{}: {error}", case.source)))?,
                None => base.clone(),
            };
            let mut whole = contents.clone();
            whole.files.extend(assumed.files.iter().cloned());
            let mut documents = Documents::from_contents(whole, &options);
            warnings += documents.count(Severity::Warning);
            let Some(mesh) = documents.mesh.take() else {
                return Err(Untried::Documents(Box::new(documents)));
            };
            meshes.insert(case.from.clone(), mesh);
        }
        let verdict = judge(&case, &meshes[&case.from], &assumed.owners);
        results.push((case, verdict));
    }
    Ok((results, warnings))
}
