//! Whether dumper, loader, servers and throwaway server go together, as far as that is known without a set.

use super::{Findings, Grade, backup_tasks};
use mykeeper_config::Settings;
use mykeeper_domain::packing::PackFormat;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::mydumper::MydumperInfo;
use mykeeper_tools::myloader::{MyloaderInfo, detect_myloader};
use mykeeper_tools::pairing::{advice, is_other_product, too_old};
use mykeeper_tools::sandbox::check_sandbox;

/// From here on `metadata` is another, and neither side reads the other's: mydumper's issues 418, 1277 and 1430.
const NEW_METADATA: (u32, u32, u32) = (0, 11, 0);

/// The first myloader that reads `.zst`; an older one takes such a file for SQL.
const READS_ZSTD: (u32, u32, u32) = (0, 13, 0);

/// Names each job whose sets this host's myloader could not read by itself. mykeeper does: it is people in a hurry who
/// would be surprised.
pub(super) async fn warn_of_zstd(settings: &Settings, tools: &ToolEnv<'_>, findings: &mut Findings) {
    let mut jobs = backup_tasks(settings)
        .filter(|(_, task)| {
            task.packing
                .is_some_and(|packing| packing.format == PackFormat::Zstd)
        })
        .map(|(name, _)| name)
        .peekable();
    if jobs.peek().is_none() {
        return;
    }
    // One that is not there is said where it is needed.
    let Ok(loader) = detect_myloader(tools.supervisor, &settings.tools.myloader).await else {
        return;
    };
    if loader.version >= READS_ZSTD {
        return;
    }
    for job in jobs {
        let detail = format!(
            "compression = \"zstd\": {} reads no .zst file and takes it for SQL; mykeeper restores its sets all the \
             same, but who has to do without it decompresses them first (zstd -d); every loader reads \"gzip\"",
            loader.banner
        );
        findings.add(format!("job {job}"), Grade::Warning, detail);
    }
}

/// What proofs are made with, and beside what the sets are made with: the dumper, and the servers with their versions.
pub(super) async fn try_proofs(
    settings: &Settings,
    (dumper, servers): (Option<&MydumperInfo>, &[(String, String)]),
    tools: &ToolEnv<'_>,
    findings: &mut Findings,
) {
    let loader = detect_myloader(tools.supervisor, &settings.tools.myloader).await;
    let loader = loader.map(|info| {
        let banner = info.banner.clone();
        (info, banner)
    });
    let loader = findings.record("myloader", loader.map_err(|error| error.to_string()));
    try_tools((dumper, loader.as_ref()), findings);
    let sandbox = check_sandbox(&settings.sandbox, tools).await;
    let sandbox = sandbox.map(|version| {
        let detail = format!("{version} starts in {}", settings.sandbox.directory.display());
        (version, detail)
    });
    let sandbox = findings.record("sandbox", sandbox.map_err(|error| error.to_string()));
    try_servers(sandbox.as_deref(), servers, findings);
}

/// The dumper and the loader. A proof gives myloader files alone and loads what it cannot: it is people who would be
/// surprised.
fn try_tools((dumper, loader): (Option<&MydumperInfo>, Option<&MyloaderInfo>), findings: &mut Findings) {
    let (Some(dumper), Some(loader)) = (dumper, loader) else {
        return;
    };
    if (dumper.version < NEW_METADATA) != (loader.version < NEW_METADATA) {
        let detail = format!(
            "{} reads no set of {} by itself, only mykeeper does; install both from one package",
            loader.banner, dumper.banner
        );
        findings.add("myloader", Grade::Warning, detail);
    }
}

/// Each server beside the throwaway server.
fn try_servers(sandbox: Option<&str>, servers: &[(String, String)], findings: &mut Findings) {
    let Some(here) = sandbox else {
        return;
    };
    for (name, version) in servers {
        let what = format!("sets of server {name}");
        if let Some(why) = too_old(version, here) {
            findings.add(what, Grade::Failed, format!("cannot be proven: {why}"));
        } else if is_other_product(version, here) {
            let detail = format!(
                "{version} is no product of the throwaway server's, {here}: definitions are not compared, and what that \
                 does not know cannot be proven; {}",
                advice(version)
            );
            findings.add(what, Grade::Warning, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(try_it: impl FnOnce(&mut Findings)) -> Vec<String> {
        let mut findings = Findings::default();
        try_it(&mut findings);
        findings.0.into_iter().map(|finding| finding.detail).collect()
    }

    #[test]
    fn what_does_not_go_together_is_told_before_there_is_a_set() {
        let tool = |version| {
            let dumper = MydumperInfo {
                program: "mydumper".into(),
                banner: "mydumper".into(),
                version,
                options: Default::default(),
            };
            let loader = MyloaderInfo {
                program: "myloader".into(),
                banner: "myloader".into(),
                version,
            };
            (dumper, loader)
        };
        let ((old, old_loader), (_, new_loader)) = (tool((0, 10, 0)), tool((1, 0, 1)));
        let tools = |loader| said(|findings| try_tools((Some(&old), Some(loader)), findings));
        assert_eq!(tools(&old_loader), [""; 0]);
        assert_eq!(tools(&new_loader).len(), 1);
        let servers = |source: &str, here: &str| {
            let servers = [("shop".to_owned(), source.to_owned())];
            said(|findings| try_servers(Some(here), &servers, findings))
        };
        assert_eq!(servers("10.11.19-MariaDB", "10.11.19-MariaDB"), [""; 0]);
        assert!(servers("11.4.2-MariaDB", "10.11.19-MariaDB")[0].starts_with("cannot be proven: "));
        assert!(servers("8.0.36", "10.11.19-MariaDB")[0].contains("install MySQL 8.0 or later"));
    }
}
