//! From flags to something that serves.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use dispatcher::{Dispatcher, Inherited};
use engine::admin::{Access, Generations, Server};
use engine::upgrade::{TakeOver, Upgrader, VARIABLE};
use engine::{Boot, Candidate, Engine, Findings, Loaded, Refusal};
use generations::{OpenOptions, Owner, Recovery, Store, StoreError, View};
use serde_json::json;

use super::{Arguments, WatchedFolder, loader, tell, trusted_keys};
use crate::documents::{Documents, FolderError, MeshLoader};
use crate::report;
use crate::serve;
use crate::service;
use crate::state::TOKEN_FILE;

/// Everything that runs.
pub(super) struct Started {
    pub(super) dispatcher: Arc<Dispatcher>,
    /// `None` where the store can't be written: what is served can't be changed then.
    pub(super) engine: Option<Engine>,
    pub(super) admin: Option<Server>,
    pub(super) upgrader: Upgrader,
}

/// `None` once it has been told what is wrong with the documents.
pub(super) fn start(
    arguments: &Arguments,
    folder: Option<&mut WatchedFolder>,
) -> anyhow::Result<Option<Started>> {
    let state = arguments.state.directory()?;
    match std::env::var_os(VARIABLE) {
        Some(socket) => take_over(arguments, &state, Path::new(&socket), folder).map(Some),
        None => fresh(arguments, &state, folder),
    }
}

fn fresh(
    arguments: &Arguments,
    state: &Path,
    folder: Option<&mut WatchedFolder>,
) -> anyhow::Result<Option<Started>> {
    let loader = loader(arguments);
    let (mut sockets, mut admin) = (service::inherited_sockets()?, None);
    if let Some(address) = arguments.admin.address() {
        admin = Some(serve::admin_socket(address, &mut sockets)?);
    }
    let (candidate, unreadable) = match folder {
        Some(folder) => {
            let (candidate, unreadable) = first_candidate(arguments, folder, &loader)?;
            (Some(candidate), unreadable)
        }
        None => (None, None),
    };
    let has_candidate = candidate.is_some();
    let loaded = candidate
        .as_ref()
        .and_then(|candidate| candidate.loaded.clone());
    let opening = opening(arguments, admin.as_ref())?;
    let (mut store, recovery) = match Store::open(state, opening.clone()) {
        Ok(opened) => opened,
        Err(error @ StoreError::Locked { .. }) => return Err(error.into()),
        Err(error) => {
            return unstored(arguments, state, &loader, loaded, sockets, admin, &error).map(Some);
        }
    };
    tell_recovery(&recovery);
    let mut boot = match Boot::choose(&mut store, &loader, candidate) {
        Ok(boot) => boot,
        Err(Refusal::Findings(_)) if has_candidate => match unreadable {
            Some(error) => return Err(error.into()),
            // They have been told.
            None => return Ok(None),
        },
        // A full disk, for one.
        Err(Refusal::Store(error)) => {
            drop(store);
            return unstored(arguments, state, &loader, loaded, sockets, admin, &error).map(Some);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    for note in &boot.notes {
        writeln!(io::stderr(), "warning: {note}")?;
    }
    let inherited = Inherited {
        sockets,
        learned: boot.learned.take(),
    };
    let options = arguments.serve.to_dispatcher();
    let started = Dispatcher::start(options, boot.loaded().mesh.clone(), &boot.name(), inherited);
    let dispatcher = match started {
        Ok(dispatcher) => Arc::new(dispatcher),
        Err(error) => {
            boot.abandon(&mut store, &format!("it was not served: {error}"));
            return Err(error.into());
        }
    };
    say_loaded(boot.loaded())?;
    let engine = Engine::start(store, opening, dispatcher.clone(), Box::new(loader), boot)?;
    finish(arguments, state, dispatcher, engine, admin).map(Some)
}

/// Goes on with the work of the process that started us.
fn take_over(
    arguments: &Arguments,
    state: &Path,
    socket: &Path,
    folder: Option<&mut WatchedFolder>,
) -> anyhow::Result<Started> {
    let mut given = TakeOver::from(socket).context("take over from the process before")?;
    let loader = loader(arguments);
    let mut boot = Boot::go_on(&View::open(state)?, &loader, given.generation)?;
    let inherited = Inherited {
        sockets: std::mem::take(&mut given.sockets),
        learned: Some(std::mem::take(&mut given.learned)),
    };
    let options = arguments.serve.to_dispatcher();
    let dispatcher =
        Dispatcher::start(options, boot.loaded().mesh.clone(), &boot.name(), inherited)?;
    let dispatcher = Arc::new(dispatcher);
    say_loaded(boot.loaded())?;
    let admin = given.admin.take();
    let opening = opening(arguments, admin.as_ref())?;
    if let Some(folder) = folder {
        // It may have changed meanwhile.
        boot.and_then(folder.candidate(arguments));
    }
    given
        .ready()
        .context("the process before did not let go of the store")?;
    let (store, _) = Store::open(state, opening.clone())?;
    let engine = Engine::start(store, opening, dispatcher.clone(), Box::new(loader), boot)?;
    let started = finish(arguments, state, dispatcher, engine, admin)?;
    given.taken().context("the process before is gone")?;
    Ok(started)
}

fn finish(
    arguments: &Arguments,
    state: &Path,
    dispatcher: Arc<Dispatcher>,
    engine: Engine,
    admin: Option<TcpListener>,
) -> anyhow::Result<Started> {
    let upgrader = upgrader(&dispatcher)?;
    let generations = Generations {
        handle: engine.handle(),
        upgrader: upgrader.clone(),
    };
    let access = access(arguments, state)?;
    let admin = serve::admin(&dispatcher, admin, access, Some(generations))?;
    if let Some(admin) = &admin {
        upgrader.set_admin(admin.socket()?);
    }
    Ok(Started {
        dispatcher,
        engine: Some(engine),
        admin,
        upgrader,
    })
}

/// Serves although the store can't be used: what it still shows to be current or, without that, the folder. What is
/// served can't be changed until the store can be used again.
fn unstored(
    arguments: &Arguments,
    state: &Path,
    loader: &MeshLoader,
    loaded: Option<Loaded>,
    sockets: Vec<TcpListener>,
    admin: Option<TcpListener>,
    error: &StoreError,
) -> anyhow::Result<Started> {
    tracing::error!(%error, "generations can't be kept; what is served now can't be changed until that is mended and dalbi started again");
    let view = View::open(state).ok();
    let current = view
        .as_ref()
        .and_then(|view| view.current().map(|id| (view, id)));
    let shown = current
        .and_then(|(view, id)| Some((id.short(), Boot::go_on(view, loader, Some(id)).ok()?)));
    let (name, loaded) = match (shown, loaded) {
        (Some((name, boot)), _) => (name, boot.loaded().clone()),
        (None, Some(loaded)) => ("unstored".to_owned(), loaded),
        (None, None) => ("rescue".to_owned(), Boot::rescue()),
    };
    let inherited = Inherited {
        sockets,
        ..Inherited::default()
    };
    let options = arguments.serve.to_dispatcher();
    let dispatcher = Arc::new(Dispatcher::start(
        options,
        loaded.mesh.clone(),
        &name,
        inherited,
    )?);
    dispatcher.set_objects(loaded.objects.clone());
    say_loaded(&loaded)?;
    let admin = serve::admin(&dispatcher, admin, Access::default(), None)?;
    Ok(Started {
        upgrader: upgrader(&dispatcher)?,
        dispatcher,
        engine: None,
        admin,
    })
}

fn tell_recovery(recovery: &Recovery) {
    if let Some(id) = recovery.crashed {
        tracing::warn!(
            generation = %id.short(),
            "the process ended while this generation was tried: it is not tried again by itself (`dalbi apply --force` does)"
        );
    }
    let torn_bytes = recovery.torn_bytes;
    if torn_bytes > 0 {
        tracing::warn!(
            torn_bytes,
            "the log ended in a record that was not wholly written; it was cut off"
        );
    }
}

/// Reads the folder for the first time and tells what is to be told of it; with why it can't be read.
fn first_candidate(
    arguments: &Arguments,
    folder: &mut WatchedFolder,
    loader: &MeshLoader,
) -> anyhow::Result<(Candidate, Option<FolderError>)> {
    let contents = match folder.watch.read() {
        Ok(contents) => contents,
        Err(error) => {
            let candidate = Candidate {
                source: folder.source(),
                documents: Vec::new(),
                broken: Some(Findings::text(error.to_string())),
                loaded: None,
                terms: arguments.trial.terms(),
            };
            return Ok((candidate, Some(error)));
        }
    };
    let documents = crate::documents::documents_of(&contents, &folder.root);
    folder.known = Some(documents.clone());
    let tests = loader.run_tests(&contents);
    let mut loaded = Documents::from_contents(contents, loader.options());
    tell(&loaded)?;
    if let Some(absence) = loaded.absence(loader.options()) {
        writeln!(io::stderr(), "warning: {absence}")?;
    }
    let broken = match (&loaded.mesh, tests) {
        (None, _) => Some(crate::documents::findings(&loaded.diagnostics)),
        (Some(_), Err(findings)) => {
            writeln!(io::stderr(), "{}", findings.text)?;
            Some(findings)
        }
        (Some(_), Ok(())) => None,
    };
    let mesh = loaded.mesh.take();
    let candidate = Candidate {
        source: folder.source(),
        documents,
        loaded: mesh.map(|mesh| Loaded {
            mesh: Arc::new(mesh),
            objects: json!(loaded.statuses),
            summary: report::summary_line(&loaded),
        }),
        broken,
        terms: arguments.trial.terms(),
    };
    Ok((candidate, None))
}

fn opening(arguments: &Arguments, admin: Option<&TcpListener>) -> anyhow::Result<OpenOptions> {
    let scheme = if arguments.admin.is_tls() {
        "https"
    } else {
        "http"
    };
    let address = admin.and_then(|admin| admin.local_addr().ok());
    let keys = trusted_keys(&arguments.require_signed)?;
    Ok(OpenOptions {
        owner: Owner::this_process(
            address.map(|address| format!("{scheme}://{address}")),
            &std::env::args().collect::<Vec<_>>().join(" "),
        ),
        require_signed: !keys.is_empty(),
        keys,
        now_unix_ms: engine::unix_ms(),
    })
}

fn access(arguments: &Arguments, state: &Path) -> anyhow::Result<Access> {
    let token = service::token_in(&state.join(TOKEN_FILE))?;
    let access = Access::with_token(&token);
    Ok(match arguments.admin.tls() {
        Some(files) => access.over_tls(&files)?,
        None => access,
    })
}

fn upgrader(dispatcher: &Arc<Dispatcher>) -> anyhow::Result<Upgrader> {
    let program: PathBuf = std::env::current_exe().context("find our own program")?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    Ok(Upgrader::new(
        program,
        arguments,
        Arc::downgrade(dispatcher),
    ))
}

fn say_loaded(loaded: &Loaded) -> io::Result<()> {
    writeln!(io::stdout(), "loaded: {}", loaded.summary)
}
