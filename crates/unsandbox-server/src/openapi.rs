// SPDX-License-Identifier: MIT OR Apache-2.0
//! `GET /openapi.json`: the document of unsandbox-protocol, made once.

use crate::reply;
use axum::body::{Body, Bytes};
use axum::http::Response;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(unsandbox_protocol::openapi::document().to_string()));

pub(crate) async fn document() -> Response<Body> {
    let mut response = reply::json(String::new());
    *response.body_mut() = Body::from(DOCUMENT.clone());
    response
}

#[cfg(test)]
mod tests {
    use crate::admission::Via;
    use crate::connections::Limiter;
    use crate::party::Peer;
    use crate::routes::router;
    use crate::state::{ServerOptions, State};
    use axum::Router;
    use axum::body::Body;
    use axum::http::header::ALLOW;
    use axum::http::{Request, StatusCode};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;
    use unsandbox_protocol::backend::{Health, KeyInfo, LanguageInfo};
    use unsandbox_protocol::openapi::document;
    use unsandbox_protocol::{
        Backend, CallContext, Error, EventSink, Job, JobPage, Page, Probe, Submission,
    };

    /// A backend that no request of these tests reaches.
    #[derive(Debug)]
    struct Unused;

    #[rustfmt::skip]
    impl Backend for Unused {
        fn submit(&self, _: Submission<'static>, _: Arc<dyn EventSink>) { unreachable!() }
        fn watch(&self, _: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> { unreachable!() }
        fn cancel(&self, _: &str, _: &CallContext, _: Arc<dyn EventSink>) -> Result<(), Error> { unreachable!() }
        fn get_job(&self, _: &str, _: &CallContext) -> Result<Job, Error> { unreachable!() }
        fn delete_job(&self, _: &str, _: &CallContext) -> Result<(), Error> { unreachable!() }
        fn list_jobs(&self, _: &Page, _: &CallContext) -> Result<JobPage, Error> { unreachable!() }
        fn languages(&self, _: &CallContext) -> Result<Vec<LanguageInfo>, Error> { unreachable!() }
        fn validate_key(&self, _: &CallContext) -> Result<KeyInfo, Error> { unreachable!() }
        fn health(&self, _: &CallContext) -> Result<Health, Error> { unreachable!() }
        fn probe(&self, _: &CallContext) -> Result<Probe, Error> { unreachable!() }
        fn close(&self, _: Duration) {}
    }

    /// The paths of a router. It has no list of them but in its debug form.
    fn paths(router: &Router) -> BTreeSet<String> {
        let shown = format!("{router:?}");
        let (shown, _) = shown.split_once("fallback_router").unwrap();
        shown.split('"').filter(|text| text.starts_with('/')).map(str::to_string).collect()
    }

    /// The methods of a path, as the header Allow of a refusal has them. HEAD comes with GET.
    async fn methods(router: &Router, path: &str) -> BTreeSet<String> {
        let place = Limiter::new(2).admit(Peer::User(None)).await;
        let mut request = Request::new(Body::empty());
        *request.method_mut() = "UNKNOWN".parse().unwrap();
        *request.uri_mut() = path.replace(['{', '}'], "").parse().unwrap();
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        request.extensions_mut().insert(place.handle.begin());
        let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = response.headers()[ALLOW].to_str().unwrap();
        allowed.split(',').filter(|method| *method != "HEAD").map(str::to_string).collect()
    }

    #[tokio::test]
    async fn the_document_has_every_route_and_no_other() {
        let backend = Arc::new(Unused);
        let state = State::new(backend, &ServerOptions::default()).unwrap();
        let router = router(Arc::new(state), Via::Tcp);
        let document = document();
        let described = document["paths"].as_object().unwrap();
        assert_eq!(paths(&router), described.keys().cloned().collect());
        for (path, item) in described {
            let operations = item.as_object().unwrap().keys();
            let named: BTreeSet<_> = operations.map(|method| method.to_uppercase()).collect();
            assert_eq!(named, methods(&router, path).await, "{path}");
        }
    }
}
