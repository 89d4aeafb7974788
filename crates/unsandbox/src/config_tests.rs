// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoint and key choice, row by row.

use super::*;

fn chosen(settings: &ExplicitSettings, env: &[(&str, &str)]) -> Result<Chosen, Error> {
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    choose(settings, &move |name| env.iter().find(|(key, _)| key == name).map(|(_, v)| v.into()))
}

fn url(text: &str) -> ExplicitSettings {
    ExplicitSettings { base_url: Some(text.to_string()), ..ExplicitSettings::default() }
}

#[test]
fn the_endpoint_follows_the_order() {
    let endpoint = |settings: &ExplicitSettings, env: &[(&str, &str)]| {
        let chosen = chosen(settings, env).unwrap();
        (chosen.endpoint.to_string(), chosen.explicit)
    };
    let key = ("UNSANDBOX_API_KEY", "k");
    let env_url = ("UNSANDBOX_URL", "http://127.0.0.1:1");
    assert_eq!(endpoint(&ExplicitSettings::default(), &[]), ("local:".into(), false));
    assert_eq!(
        endpoint(&ExplicitSettings::default(), &[("UNSANDBOX_URL", "")]),
        ("local:".into(), false)
    );
    assert_eq!(endpoint(&ExplicitSettings::default(), &[key]), (SERVICE_URL.into(), false));
    assert_eq!(
        endpoint(&ExplicitSettings::default(), &[key, env_url]),
        ("http://127.0.0.1:1".into(), false)
    );
    assert_eq!(endpoint(&url("local:"), &[key, env_url]), ("local:".into(), true));
    assert_eq!(endpoint(&url("HTTPS://h/base/"), &[]), ("https://h/base".into(), true));
    assert_eq!(endpoint(&url("unix:/run/u.sock"), &[]), ("unix:/run/u.sock".into(), true));
    assert_eq!(endpoint(&url("unix:///run/u.sock"), &[]), ("unix:/run/u.sock".into(), true));
}

#[test]
fn a_malformed_endpoint_is_a_config_error() {
    for text in [
        "",
        "ftp://h",
        "h:80",
        "http://",
        "http:///x",
        "unix:rel",
        "http://h?x=1",
        "http://a b",
        "http://h:x",
    ] {
        let error = chosen(&url(text), &[]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config, "{text:?}");
    }
    let error = chosen(&url("http://me:hunter2@h"), &[]).unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
}

fn bearer(chosen: Chosen) -> String {
    chosen.credentials.map(|c| c.bearer().to_string()).unwrap_or_default()
}

#[test]
fn the_key_follows_the_order() {
    let pair = [("UNSANDBOX_PUBLIC_KEY", "pk"), ("UNSANDBOX_SECRET_KEY", "sk")];
    let key = ("UNSANDBOX_API_KEY", "k");
    let all = [pair[0], pair[1], key];
    assert_eq!(bearer(chosen(&ExplicitSettings::default(), &all).unwrap()), "pk");
    assert_eq!(bearer(chosen(&ExplicitSettings::default(), &[key]).unwrap()), "k");
    let settings =
        ExplicitSettings { api_key: Some(Secret::new("arg")), ..ExplicitSettings::default() };
    assert_eq!(bearer(chosen(&settings, &all).unwrap()), "arg");
    let key_pair = Some(("arg-pk".to_string(), Secret::new("arg-sk")));
    let both = ExplicitSettings { key_pair: key_pair.clone(), ..settings };
    let error = chosen(&both, &all).unwrap_err();
    assert_eq!(
        error.code(),
        ErrorCode::Config,
        "which one was meant is not ours to guess: {error}"
    );
    let settings = ExplicitSettings { key_pair, ..ExplicitSettings::default() };
    assert_eq!(bearer(chosen(&settings, &all).unwrap()), "arg-pk");
    for half in pair {
        assert_eq!(
            chosen(&ExplicitSettings::default(), &[half]).unwrap_err().code(),
            ErrorCode::Config
        );
        assert!(chosen(&url("local:"), &[half]).is_ok(), "no key is looked at for local:");
    }
    for bad in ["", "a b", "a\nb", "ä"] {
        let settings =
            ExplicitSettings { api_key: Some(Secret::new(bad)), ..ExplicitSettings::default() };
        assert_eq!(chosen(&settings, &[]).unwrap_err().code(), ErrorCode::Config, "{bad:?}");
    }
}

#[test]
fn the_accounts_file_counts_only_when_something_names_it() {
    let home = std::env::temp_dir().join(format!("unsandbox-accounts-{}", std::process::id()));
    std::fs::create_dir_all(home.join(".unsandbox")).unwrap();
    std::fs::write(home.join(".unsandbox/accounts.csv"), "pk0,sk0\npk1,sk1,work\n").unwrap();
    let home_var = ("HOME", home.to_str().unwrap());
    let plain = chosen(&ExplicitSettings::default(), &[home_var]).unwrap();
    assert_eq!((plain.endpoint, plain.credentials.is_none()), (Endpoint::Local, true));
    let row = |row| [home_var, ("UNSANDBOX_ACCOUNT", row)];
    assert_eq!(bearer(chosen(&ExplicitSettings::default(), &row("1")).unwrap()), "pk1");
    let env_key = [home_var, ("UNSANDBOX_API_KEY", "k")];
    let settings = ExplicitSettings { account: Some(0), ..ExplicitSettings::default() };
    assert_eq!(
        bearer(chosen(&settings, &env_key).unwrap()),
        "pk0",
        "an account by number bypasses the environment"
    );
    for bad in ["2", "-1", "x"] {
        let error = chosen(&ExplicitSettings::default(), &row(bad)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(!format!("{error:?}").contains("sk"), "{error:?}");
    }
    let lost = ExplicitSettings {
        accounts_file: Some(home.join("none.csv")),
        account: Some(0),
        ..ExplicitSettings::default()
    };
    assert_eq!(chosen(&lost, &[]).unwrap_err().code(), ErrorCode::Config);
    std::fs::remove_dir_all(&home).unwrap();
}

#[test]
fn a_key_does_not_travel_readable() {
    let key = [("UNSANDBOX_API_KEY", "k")];
    for text in [
        "http://example.com",
        "http://10.0.0.1:80",
        "http://127.0.0.1.example.com",
        "http://[::2]:1",
    ] {
        assert_eq!(chosen(&url(text), &key).unwrap_err().code(), ErrorCode::Config, "{text}");
        assert!(chosen(&url(text), &[]).is_ok());
        let allowed = ExplicitSettings { allow_plain_http_key: true, ..url(text) };
        assert!(chosen(&allowed, &key).is_ok());
    }
    for text in [
        "http://localhost:1",
        "http://127.0.0.2",
        "http://[::1]:1",
        "https://example.com",
        "unix:/x",
    ] {
        assert!(chosen(&url(text), &key).is_ok(), "{text}");
    }
}

#[test]
fn an_endpoint_given_as_the_key_is_refused_before_it_is_sent_anywhere() {
    for endpoint in ["local:", "unix:/run/u.sock", "http://127.0.0.1:1", "https://h"] {
        let api_key = Some(Secret::new(endpoint));
        let settings = ExplicitSettings { api_key, ..ExplicitSettings::default() };
        let error = chosen(&settings, &[]).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains("base_url"), "{error}");
    }
}
