//! A proof as one self-contained JSON document, chained to the proof of the same server before it.
//!
//! ```json
//! {
//!   "format": "mykeeper-proof", "version": 1, "passed": true,
//!   "set":   { "bk_id": "...", "tag": "shop", "inventory": [{ "database": "shop", "rows": 5 }] },
//!   "proof": { "databases": [{ "database": "shop", "differences": [] }], "asserts": [], "load_ms": 1400 },
//!   "chain": { "tag": "shop", "id": "a UUID", "number": 7, "previous": "BLAKE3 of number 6" },
//!   "digest": "BLAKE3 of all of the above"
//! }
//! ```
//!
//! `set` is [`ProvenSet`], `proof` is [`Proof`] without its `set` and `link`. The digest is BLAKE3, in lower case
//! hexadecimal, over the UTF-8 bytes of the document without its member `digest`, written as [`canonical`] does: no
//! white space outside of strings, the members of each object sorted by name, in strings only `"`, `\` and what is
//! below U+0020 escaped (`\b \t \n \f \r`, else `\u00xx`). All numbers are integers. That is what RFC 8785 says, and
//! what Python writes with `json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)`.
//!
//! `chain.number` counts the proofs of one server, known by its tag, from 1. `previous` is the digest of the one
//! numbered before, and `null` for the first. `id` was made up at random with number 1: a catalog that is made again
//! begins another chain. A chain that began before there were such has none.

use super::{Proof, ProvenSet};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `format` says.
pub const FORMAT: &str = "mykeeper-proof";
/// What `version` says: the shape that this program writes.
pub const VERSION: u64 = 1;

/// The place of a proof in the chain of its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The chain, made up with its first proof; `None` for one that began before that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// 1 for the first.
    pub number: u64,
    /// The digest of the proof before it; `None` for the first.
    pub previous: Option<String>,
    /// Its own digest.
    pub digest: String,
}

/// A document as it was read or made: with every member that it holds, known to this program or not.
#[derive(Clone, Debug, PartialEq)]
pub struct ProofDocument {
    body: Value,
    /// The digest that it says is its own.
    pub claimed: String,
}

impl ProofDocument {
    /// The document of a proof that is given this place. Instants are cut to milliseconds, which is what the catalog
    /// keeps. `None` for a proof that does not know its set.
    pub fn new(proof: &Proof, chain: Option<&str>, number: u64, previous: Option<&str>) -> Option<Self> {
        let mut proof = in_milliseconds(proof);
        proof.link = None;
        let set = proof.set.take()?;
        let mut place = serde_json::json!({ "tag": set.tag, "number": number, "previous": previous });
        if let Some(chain) = chain {
            place["id"] = chain.into();
        }
        let body = serde_json::json!({
            "format": FORMAT,
            "version": VERSION,
            "passed": proof.passed(),
            "chain": place,
            "set": set,
            "proof": proof,
        });
        let claimed = digest(&body);
        Some(Self { body, claimed })
    }

    /// From its JSON, with or without its digest.
    ///
    /// # Errors
    /// Why it is no proof.
    pub fn parse(mut body: Value) -> Result<Self, String> {
        let members = body.as_object_mut().ok_or("it is no JSON object")?;
        if members.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err(format!("its format is not {FORMAT:?}"));
        }
        if members.get("version").and_then(Value::as_u64) != Some(VERSION) {
            return Err(format!("its version is not {VERSION}, which this mykeeper knows"));
        }
        let claimed = match members.remove("digest") {
            Some(Value::String(digest)) => digest,
            _ => return Err("it has no digest".to_owned()),
        };
        let document = Self { body, claimed };
        if document.number().is_none() || document.tag().is_none() {
            return Err("it does not say where in which chain it stands".to_owned());
        }
        Ok(document)
    }

    /// From the text that [`canonical`](Self::canonical) gives, and the digest that was noted beside it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_record(text: &str, digest: &str) -> Result<Self, String> {
        let mut body: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if let Some(members) = body.as_object_mut() {
            members.insert("digest".to_owned(), Value::String(digest.to_owned()));
        }
        Self::parse(body)
    }

    /// The bytes that the digest is of.
    pub fn canonical(&self) -> String {
        canonical(&self.body)
    }

    /// The digest that it should have.
    pub fn digest(&self) -> String {
        digest(&self.body)
    }

    /// Whether nothing in it has changed since its digest was taken.
    pub fn is_intact(&self) -> bool {
        self.claimed == self.digest()
    }

    /// The whole document, its digest with it.
    pub fn to_json(&self) -> Value {
        let mut whole = self.body.clone();
        if let Some(members) = whole.as_object_mut() {
            members.insert("digest".to_owned(), Value::String(self.claimed.clone()));
        }
        whole
    }

    /// The server.
    pub fn tag(&self) -> Option<&str> {
        self.body.pointer("/chain/tag")?.as_str()
    }

    /// Which chain of that server's; `None` for one that began before chains had identities.
    pub fn chain(&self) -> Option<&str> {
        self.body.pointer("/chain/id")?.as_str()
    }

    /// The verdict that it states.
    pub fn passed(&self) -> Option<bool> {
        self.body.get("passed")?.as_bool()
    }

    /// Whether the verdict that it states is that of its databases.
    fn is_consistent(&self) -> bool {
        let proof = serde_json::from_value::<Proof>(self.body["proof"].clone());
        proof.is_ok_and(|proof| Some(proof.passed()) == self.passed())
    }

    /// Its number among the proofs of the server.
    pub fn number(&self) -> Option<u64> {
        self.body.pointer("/chain/number")?.as_u64()
    }

    /// The digest of the proof before it.
    pub fn previous(&self) -> Option<&str> {
        self.body.pointer("/chain/previous")?.as_str()
    }

    /// The set.
    pub fn bk_id(&self) -> Option<&str> {
        self.body.pointer("/set/bk_id")?.as_str()
    }

    /// Whether the catalog's columns, which give `proof`, still say what the document says.
    pub fn agrees_with(&self, proof: &Proof) -> bool {
        let Some(link) = &proof.link else { return false };
        let made = Self::new(
            proof,
            link.chain.as_deref(),
            link.number,
            link.previous.as_deref(),
        );
        made.is_some_and(|made| {
            let parsed = |value: &Value| serde_json::from_value::<Proof>(value["proof"].clone()).ok();
            let set = |value: &Value| serde_json::from_value::<ProvenSet>(value["set"].clone()).ok();
            made.body["chain"] == self.body["chain"]
                && made.body["passed"] == self.body["passed"]
                && parsed(&made.body) == parsed(&self.body)
                && set(&made.body) == set(&self.body)
                && link.digest == self.claimed
        })
    }
}

fn digest(body: &Value) -> String {
    blake3::hash(canonical(body).as_bytes()).to_hex().to_string()
}

/// One text for one value: see the head of this file.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            text.push('{');
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// The same proof at the precision that the catalog keeps.
fn in_milliseconds(proof: &Proof) -> Proof {
    let cut = |at: DateTime<Utc>| at.trunc_subsecs(3);
    let mut proof = proof.clone();
    proof.started_at = cut(proof.started_at);
    proof.finished_at = cut(proof.finished_at);
    for database in &mut proof.databases {
        database.started_at = cut(database.started_at);
        database.finished_at = cut(database.finished_at);
    }
    if let Some(set) = &mut proof.set {
        set.started_at = cut(set.started_at);
        set.finished_at = cut(set.finished_at);
    }
    proof
}

/// Looks whether documents are as they were made and each follows the one before it. Each has a name of the caller's.
/// Yields what is wrong, then what could not be looked at: one sentence each, which begins with a name.
pub fn check_chain(documents: &[(String, ProofDocument)]) -> (Vec<String>, Vec<String>) {
    let (mut faults, mut gaps) = (Vec::new(), Vec::new());
    let mut ordered: Vec<&(String, ProofDocument)> = documents.iter().collect();
    ordered.sort_by_key(|(_, document)| {
        let chain = document.chain().map(str::to_owned);
        (document.tag().map(str::to_owned), chain, document.number())
    });
    for (name, document) in &ordered {
        if !document.is_intact() {
            faults.push(format!(
                "{name}: it was edited: its digest should be {}, and it says {}",
                document.digest(),
                document.claimed
            ));
        }
        if !document.is_consistent() {
            faults.push(format!(
                "{name}: it was edited: it says another verdict than its databases"
            ));
        }
        if document.number() == Some(1) && document.previous().is_some() {
            faults.push(format!(
                "{name}: it is number 1 of its chain, and names one before it"
            ));
        }
    }
    for pair in ordered.windows(2) {
        let [(before_name, before), (name, document)] = pair else {
            continue;
        };
        if before.tag() != document.tag() {
            continue;
        }
        if before.chain() != document.chain() {
            gaps.push(format!(
                "{name}: it is of another chain of the same server than {before_name}, begun where a catalog was made \
                 again: nothing binds one to the other"
            ));
            continue;
        }
        let (Some(first), Some(second)) = (before.number(), document.number()) else {
            continue;
        };
        if first == second {
            if before.digest() != document.digest() {
                faults.push(format!(
                    "{name}: {before_name} is number {second} of the same chain too, and says something else: one of them was edited"
                ));
            }
        } else if first + 1 < second {
            gaps.push(format!(
                "{name}: what it follows cannot be looked at: between it and {before_name} number {} is not there",
                if first + 2 == second { (first + 1).to_string() } else { format!("{} to {}", first + 1, second - 1) }
            ));
        } else if document.previous() != Some(before.digest().as_str()) && before.is_intact() {
            faults.push(format!(
                "{before_name}: it is not what {name} was chained to: one of them was edited and given a new digest"
            ));
        }
    }
    (faults, gaps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BackupId, NodeName};
    use crate::proof::DatabaseProof;

    fn document(number: u64, previous: Option<&str>) -> ProofDocument {
        chained(None, number, previous)
    }

    fn chained(chain: Option<&str>, number: u64, previous: Option<&str>) -> ProofDocument {
        let at = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        let id: BackupId = "0198a000-0000-7000-8000-000000000001".parse().unwrap();
        let set = ProvenSet {
            bk_id: id,
            node: None,
            job: None,
            run_id: None,
            bk_server: "10.0.0.1".into(),
            tag: "库 \"shop\"".into(),
            started_at: at,
            finished_at: at,
            databases: vec!["shop".into()],
            complete: vec![true],
            size_bytes: Some(1),
            dir: "/a\tb".into(),
            master_status: String::new(),
            slave_status: String::new(),
            tool_version: "0.10".into(),
            server_version: "10.11".into(),
            manifest_blake3: None,
            inventory: Vec::new(),
        };
        let proof = Proof {
            bk_id: id,
            run_id: None,
            node: NodeName::new("n1").unwrap(),
            path: "/sets".into(),
            sandbox_version: "10.11".into(),
            loader_version: "0.10".into(),
            dumper_version: None,
            source_version: None,
            databases: vec![DatabaseProof {
                database: "shop".into(),
                passed: false,
                differences: Vec::new(),
                error: Some("it did not come back".into()),
                objects_compared: 1,
                rows_compared: 1,
                tables_exact: 0,
                tables_counted: 0,
                started_at: at,
                finished_at: at,
            }],
            asserts: Vec::new(),
            warnings: vec!["\u{1}\u{7f}".into()],
            copy_differs: false,
            bytes_checked: 1,
            bytes_loaded: 2,
            load_ms: Some(3),
            manifest_blake3: None,
            evidence_blake3: None,
            started_at: at,
            finished_at: at,
            set: Some(set),
            link: None,
        };
        ProofDocument::new(&proof, chain, number, previous).unwrap()
    }

    fn edited(document: &ProofDocument, is_redigested: bool) -> ProofDocument {
        let mut value = document.to_json();
        value["proof"]["bytes_checked"] = 7.into();
        let mut edited = ProofDocument::parse(value).unwrap();
        if is_redigested {
            edited.claimed = edited.digest();
        }
        edited
    }

    #[test]
    fn the_canonical_text_is_what_an_auditor_can_write_himself() {
        let value = serde_json::json!({ "b": [1, null, {"z": 1, "a": "é\"\\\n\u{1}\u{7f}/"}], "a": true });
        assert_eq!(
            canonical(&value),
            "{\"a\":true,\"b\":[1,null,{\"a\":\"é\\\"\\\\\\n\\u0001\u{7f}/\",\"z\":1}]}"
        );
        let text = document(1, None).canonical();
        assert!(
            text.starts_with(r#"{"chain":{"number":1,"previous":null,"tag":"库 \"shop\""},"format":"#),
            "{text}"
        );
        assert!(text.contains("T08:00:00.123Z"), "milliseconds: {text}");
    }

    #[test]
    fn a_document_survives_being_written_prettily_and_read_again() {
        let made = document(3, Some("ab"));
        let pretty = serde_json::to_string_pretty(&made.to_json()).unwrap();
        let read = ProofDocument::parse(serde_json::from_str(&pretty).unwrap()).unwrap();
        assert!(read.is_intact());
        assert_eq!(read, made);
        assert_eq!(
            ProofDocument::from_record(&made.canonical(), &made.claimed).unwrap(),
            made
        );
        assert!(ProofDocument::parse(serde_json::json!({"format": FORMAT, "version": 2})).is_err());
    }

    #[test]
    fn an_edited_proof_is_named_also_when_its_digest_was_made_anew() {
        let first = document(1, None);
        let second = document(2, Some(&first.claimed));
        let third = document(3, Some(&second.claimed));
        let check = |documents: &[(&str, &ProofDocument)]| {
            let named: Vec<_> = documents
                .iter()
                .map(|(name, document)| ((*name).to_owned(), (*document).clone()))
                .collect();
            check_chain(&named)
        };
        assert_eq!(
            check(&[("c", &third), ("a", &first), ("b", &second)]),
            (vec![], vec![])
        );
        let (faults, _) = check(&[("a", &first), ("b", &edited(&second, false)), ("c", &third)]);
        assert!(
            faults.len() == 1 && faults[0].starts_with("b: it was edited"),
            "{faults:?}"
        );
        let (faults, _) = check(&[("a", &first), ("b", &edited(&second, true)), ("c", &third)]);
        assert!(
            faults.len() == 1 && faults[0].starts_with("b: it is not what c"),
            "{faults:?}"
        );
        let (faults, gaps) = check(&[("a", &first), ("c", &third)]);
        assert!(
            faults.is_empty() && gaps.len() == 1 && gaps[0].contains("number 2"),
            "{gaps:?}"
        );
        let (faults, _) = check(&[("b", &second), ("x", &edited(&second, true))]);
        assert!(
            faults.len() == 1 && faults[0].contains("number 2 of the same chain"),
            "{faults:?}"
        );
    }

    #[test]
    fn a_verdict_that_is_not_that_of_the_databases_shows_in_whatever_digest_it_is() {
        let mut value = document(1, None).to_json();
        value["passed"] = Value::Bool(true);
        let mut lie = ProofDocument::parse(value).unwrap();
        lie.claimed = lie.digest();
        let (faults, gaps) = check_chain(&[("a".to_owned(), lie)]);
        assert!(gaps.is_empty() && faults.len() == 1, "{faults:?}");
        assert!(faults[0].contains("another verdict"), "{faults:?}");
    }

    #[test]
    fn a_chain_that_begins_again_is_a_gap_and_no_lie() {
        let old = document(1, None);
        let first = chained(Some("b"), 1, None);
        let second = chained(Some("b"), 2, Some(&first.claimed));
        let named = [("old", &old), ("first", &first), ("second", &second)]
            .map(|(name, document)| (name.to_owned(), document.clone()));
        let (faults, gaps) = check_chain(&named);
        assert!(faults.is_empty(), "{faults:?}");
        assert!(
            gaps.len() == 1 && gaps[0].starts_with("first: it is of another chain"),
            "{gaps:?}"
        );
        assert!(first.canonical().starts_with(r#"{"chain":{"id":"b","number":1,"#));
    }
}
