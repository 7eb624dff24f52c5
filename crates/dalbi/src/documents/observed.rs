//! Sets documents aside that change by themselves: Kubernetes' lists of endpoints. They make no generation.

use generations::Document;
use manifests::yaml;

/// Kinds that Kubernetes' own controllers write, as fast as pods come and go.
const KINDS: [&str; 2] = ["EndpointSlice", "Endpoints"];

/// What is left, and what was set aside. In both, empty lines stand for what is in the other, so that findings name the
/// lines of the file. A list (`kind: List`) stays whole.
pub(super) fn split(documents: Vec<Document>) -> (Vec<Document>, Vec<Document>) {
    let (mut left, mut aside) = (Vec::new(), Vec::new());
    for document in documents {
        // Most files don't have the word, and need not be read twice.
        if !KINDS.iter().any(|kind| document.text.contains(kind)) {
            left.push(document);
            continue;
        }
        let (mine, observed) = split_text(&document.text);
        let Document { path, .. } = document;
        if let Some(text) = observed {
            aside.push(Document {
                path: path.clone(),
                text,
            });
        }
        if let Some(text) = mine {
            left.push(Document { path, text });
        }
    }
    (left, aside)
}

/// Both parts of one file; `None` where nothing is in it.
fn split_text(text: &str) -> (Option<String>, Option<String>) {
    let parts = yaml::parts(text);
    let is_observed: Vec<_> = parts.iter().map(|(_, part)| holds_observed(part)).collect();
    let side = |wanted: bool| {
        if !is_observed.contains(&wanted) {
            return None;
        }
        // What stands before the first document, such as a comment, is as good as empty lines.
        let before = parts.first().map_or(0, |(line, _)| *line as usize);
        let mut side = "\n".repeat(before);
        for ((_, part), observed) in parts.iter().zip(&is_observed) {
            if *observed == wanted {
                side.push_str(part);
            } else {
                side.extend(part.chars().filter(|character| *character == '\n'));
            }
        }
        Some(side)
    };
    (side(false), side(true))
}

fn holds_observed(part: &str) -> bool {
    let documents = yaml::documents(part);
    !documents.is_empty()
        && documents.iter().all(|document| {
            let kind = document.root.as_ref().and_then(|root| root.get("kind"));
            kind.and_then(|kind| kind.text())
                .is_some_and(|kind| KINDS.contains(&kind))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (Option<String>, Option<String>) {
        let (left, aside) = split(vec![Document {
            path: "a.yaml".to_owned(),
            text: text.to_owned(),
        }]);
        let text = |mut side: Vec<Document>| side.pop().map(|document| document.text);
        (text(left), text(aside))
    }

    #[test]
    fn endpoints_are_set_aside_and_lines_keep_their_numbers() {
        let text =
            "# shop\nkind: Service\n---\nkind: EndpointSlice\nendpoints: []\n---\nkind: Pod\n";
        let (left, aside) = one(text);
        assert_eq!(
            left.unwrap(),
            "# shop\nkind: Service\n\n\n\n---\nkind: Pod\n"
        );
        assert_eq!(
            aside.unwrap(),
            "\n\n---\nkind: EndpointSlice\nendpoints: []\n\n\n"
        );
    }

    #[test]
    fn a_file_of_one_sort_is_on_one_side() {
        let only = "kind: Endpoints\n---\nkind: EndpointSlice\n";
        assert_eq!(one(only), (None, Some(only.to_owned())));
        // The word alone is no document of that kind.
        let mentions = "kind: Service\nmetadata: { name: EndpointSlice }\n";
        assert_eq!(one(mentions), (Some(mentions.to_owned()), None));
    }

    #[test]
    fn a_change_of_endpoints_changes_nothing_that_is_left() {
        let file = |address: &str| {
            format!(
                "kind: Service\n---\nkind: EndpointSlice\nendpoints: [{{addresses: [{address}]}}]\n---\nkind: Gateway\n"
            )
        };
        assert_eq!(one(&file("10.0.0.1")).0, one(&file("10.0.0.2")).0);
        assert_ne!(one(&file("10.0.0.1")).1, one(&file("10.0.0.2")).1);
    }
}
