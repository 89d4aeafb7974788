// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client that the options select, and the rules about its endpoint.

use crate::args::EndpointArgs;
use crate::failure::{EXIT_USAGE, Failure};
use crate::terminal::say;
use unsandbox::protocol::auth::is_loopback;
use unsandbox::{Client, ClientBuilder, ErrorCode, IsolationPolicy};

/// A client for the endpoint that the options and the environment select.
pub(crate) fn client(args: EndpointArgs, isolation: IsolationPolicy) -> Result<Client, Failure> {
    let is_given = args.is_given();
    build(builder(args).isolation(isolation), is_given)
}

/// Builds the client, and warns on standard error if other users may read its key file. Where endpoint or key are
/// arguments, what is wrong with them is wrong usage.
pub(crate) fn build(builder: ClientBuilder, is_given: bool) -> Result<Client, Failure> {
    let client = builder.build().map_err(|error| {
        let is_usage = is_given
            && error.code() == ErrorCode::Config
            && !error.message().contains("UNSANDBOX_");
        let failure = Failure::from(error);
        if is_usage { failure.exit_code(EXIT_USAGE) } else { failure }
    })?;
    if let Some(exposed) = client.key_file_warning() {
        say(&format!("warning: {exposed}"));
    }
    Ok(client)
}

pub(crate) fn builder(args: EndpointArgs) -> ClientBuilder {
    let mut builder: ClientBuilder =
        Client::builder().user_agent(concat!("unsandbox-cli/", env!("CARGO_PKG_VERSION")));
    if let Some(url) = args.url {
        builder = builder.base_url(url);
    }
    if let Some(key) = args.key {
        builder = builder.api_key(key.expose());
    }
    if let (Some(public), Some(secret)) = (args.public_key, args.secret_key) {
        builder = builder.key_pair(public, secret.expose());
    }
    if let Some(path) = args.ca_file {
        builder = builder.ca_file(path);
    }
    builder = builder.allow_plain_http_key(args.allow_plain_http_key);
    if let Some(row) = args.account {
        builder = builder.account(row);
    }
    builder
}

/// A client for jobs, whose endpoint must keep them after this command has ended.
pub(crate) fn job_client(args: EndpointArgs) -> Result<Client, Failure> {
    let client = client(args, IsolationPolicy::Auto)?;
    need_kept_jobs(&client)?;
    Ok(client)
}

pub(crate) fn need_kept_jobs(client: &Client) -> Result<(), Failure> {
    if client.backend()?.capabilities().keeps_jobs {
        return Ok(());
    }
    let endpoint = client.endpoint();
    let text = format!("{endpoint} has no jobs after the command that started them ends");
    Err(Failure::failed(text).hint(
        "start a server with `unsandbox serve --listen unix:$HOME/unsandbox.sock` and give \
         --url unix:$HOME/unsandbox.sock",
    ))
}

/// Whether code sent to this endpoint goes to another machine.
pub(crate) fn leaves_this_machine(endpoint: &str) -> bool {
    if endpoint.starts_with("local:") || endpoint.starts_with("unix:") {
        return false;
    }
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    !is_loopback(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_and_loopback_endpoints_stay_on_this_machine() {
        for here in [
            "local:",
            "unix:/run/x",
            "http://127.0.0.1:8080",
            "http://[::1]:80/x",
            "http://LOCALHOST",
        ] {
            assert!(!leaves_this_machine(here), "{here}");
        }
        for away in [
            "https://api.unsandbox.com",
            "http://10.0.0.1:8080",
            "http://localhost.example",
            "http://localhost@evil.example/",
        ] {
            assert!(leaves_this_machine(away), "{away}");
        }
    }
}
