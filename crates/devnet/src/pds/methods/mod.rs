//! The XRPC methods of a PDS, by name.

mod identity;
mod repo_batch;
mod repo_read;
mod repo_write;
mod server_account;
mod server_session;
mod sync;
mod sync_list;

use super::call::Call;
use crate::rate_limit::Cost;
use crate::xrpc::{Reply, XrpcError};

/// A method and how it is called. None of them waits: everything is in memory, beside short writes to files.
#[derive(Clone, Copy)]
pub(super) struct Method {
    pub(super) kind: Kind,
    pub(super) run: Run,
}

type Run = fn(&Call<'_>) -> Result<Reply, XrpcError>;

/// What a method is called with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// GET and parameters.
    Query,
    /// POST and JSON, or nothing.
    Procedure,
    /// POST and a blob.
    Upload,
    /// In any way: there is no such method.
    Unknown,
}

/// Finds a method by its NSID.
pub(super) fn find(name: &str) -> Method {
    let (kind, run): (_, Run) = match name.strip_prefix("com.atproto.").unwrap_or_default() {
        "server.describeServer" => (Kind::Query, server_account::describe_server),
        "server.createAccount" => (Kind::Procedure, server_account::create_account),
        "server.activateAccount" => (Kind::Procedure, server_account::activate_account),
        "server.deactivateAccount" => (Kind::Procedure, server_account::deactivate_account),
        "server.createAppPassword" => (Kind::Procedure, server_account::create_app_password),
        "server.createSession" => (Kind::Procedure, server_session::create_session),
        "server.refreshSession" => (Kind::Procedure, server_session::refresh_session),
        "server.getSession" => (Kind::Query, server_session::get_session),
        "server.deleteSession" => (Kind::Procedure, server_session::delete_session),
        "identity.resolveHandle" => (Kind::Query, identity::resolve_handle),
        "identity.updateHandle" => (Kind::Procedure, identity::update_handle),
        "repo.createRecord" => (Kind::Procedure, repo_write::create_record),
        "repo.putRecord" => (Kind::Procedure, repo_write::put_record),
        "repo.deleteRecord" => (Kind::Procedure, repo_write::delete_record),
        "repo.applyWrites" => (Kind::Procedure, repo_batch::apply_writes),
        "repo.uploadBlob" => (Kind::Upload, repo_write::upload_blob),
        "repo.getRecord" => (Kind::Query, repo_read::get_record),
        "repo.listRecords" => (Kind::Query, repo_read::list_records),
        "repo.describeRepo" => (Kind::Query, repo_read::describe_repo),
        "sync.getBlob" => (Kind::Query, sync::get_blob),
        "sync.getLatestCommit" => (Kind::Query, sync::get_latest_commit),
        "sync.getRecord" => (Kind::Query, sync::get_record),
        "sync.getRepo" => (Kind::Query, sync::get_repo),
        "sync.getRepoStatus" => (Kind::Query, sync::get_repo_status),
        "sync.listBlobs" => (Kind::Query, sync_list::list_blobs),
        "sync.listRepos" => (Kind::Query, sync_list::list_repos),
        _ => (Kind::Unknown, unknown),
    };
    Method { kind, run }
}

fn unknown(call: &Call<'_>) -> Result<Reply, XrpcError> {
    call.count(Cost::Request)?;
    let name = call.method;
    Err(XrpcError::invalid(format!(
        "No service configured for {name}"
    )))
}
