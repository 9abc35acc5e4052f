//! An OpenTelemetry collector for tests. It keeps every span that services send, or accepts exports and never
//! answers.

use crate::services::wait::block_on;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span as WireSpan;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpListener;
use tonic::metadata::{KeyAndValueRef, MetadataMap};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A collector, which listens as long as the process lives.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    kept: Arc<Mutex<Vec<Span>>>,
    exports: Arc<Mutex<Vec<Export>>>,
    held: Held,
}

/// A received export.
#[derive(Clone, Debug)]
pub struct Export {
    /// `traces` or `metrics`.
    pub signal: &'static str,
    /// The headers of the call that are text.
    pub headers: BTreeMap<String, String>,
    /// The attributes of the process that sent it.
    pub resource: BTreeMap<String, String>,
}

/// The exports that wait for an answer, with the services that sent them.
type Held = Arc<Mutex<BTreeMap<u64, String>>>;

/// A received span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The name.
    pub name: String,
    /// The id of its trace.
    pub trace: Vec<u8>,
    /// The id in the trace.
    pub id: Vec<u8>,
    /// The id of the parent span; empty for a root.
    pub parent: Vec<u8>,
    /// The attributes of the span.
    pub attributes: BTreeMap<String, String>,
    /// The process that sent it: `service.name` and `service.instance.id`.
    pub origin: (String, String),
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
}

#[derive(Clone)]
struct Intake {
    kept: Arc<Mutex<Vec<Span>>>,
    exports: Arc<Mutex<Vec<Export>>>,
    held: Held,
    answers: bool,
}

/// An export without an answer, until its sender gives up.
struct Hanging {
    held: Held,
    number: u64,
}

impl Drop for Hanging {
    fn drop(&mut self) {
        lock(&self.held).remove(&self.number);
    }
}

impl Intake {
    fn note(&self, signal: &'static str, metadata: &MetadataMap, resource: Option<&Resource>) {
        let header = |pair| match pair {
            KeyAndValueRef::Ascii(key, value) => {
                Some((key.to_string(), value.to_str().ok()?.to_owned()))
            }
            KeyAndValueRef::Binary(..) => None,
        };
        let headers = metadata.iter().filter_map(header).collect();
        let resource = attributes(resource.map(|all| all.attributes.clone()).unwrap_or_default());
        lock(&self.exports).push(Export { signal, headers, resource });
    }

    /// Returns immediately, or never if the collector does not answer.
    async fn answer(&self, resource: Option<&Resource>) {
        if self.answers {
            return;
        }
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let about = attributes(resource.map(|all| all.attributes.clone()).unwrap_or_default());
        let service = about.get("service.name").cloned().unwrap_or_default();
        lock(&self.held).insert(number, service);
        let _hanging = Hanging { held: Arc::clone(&self.held), number };
        std::future::pending::<()>().await;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[tonic::async_trait]
impl TraceService for Intake {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let metadata = request.metadata().clone();
        let resources = request.into_inner().resource_spans;
        let process = resources.first().and_then(|first| first.resource.as_ref());
        self.note("traces", &metadata, process);
        self.answer(resources.first().and_then(|first| first.resource.as_ref())).await;
        let mut kept = lock(&self.kept);
        for resource in resources {
            let about = attributes(resource.resource.map(|all| all.attributes).unwrap_or_default());
            let of = |key: &str| about.get(key).cloned().unwrap_or_default();
            let origin = (of("service.name"), of("service.instance.id"));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| Span::new(span, origin.clone())));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Intake {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let metadata = request.metadata().clone();
        let resources = request.into_inner().resource_metrics;
        let process = resources.first().and_then(|first| first.resource.as_ref());
        self.note("metrics", &metadata, process);
        self.answer(resources.first().and_then(|first| first.resource.as_ref())).await;
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Span {
    fn new(span: WireSpan, origin: (String, String)) -> Self {
        Self {
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            attributes: attributes(span.attributes),
            origin,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
        }
    }

    /// Returns an attribute as text; empty if the span lacks it.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: KeyValue| Some((pair.key, text(pair.value?.value?)));
    pairs.into_iter().filter_map(pair).collect()
}

impl Collector {
    /// Starts a collector.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start() -> Self {
        Self::new(true)
    }

    /// Starts a collector that accepts exports and never answers.
    ///
    /// # Panics
    /// If no port is free.
    pub fn mute() -> Self {
        Self::new(false)
    }

    fn new(answers: bool) -> Self {
        let (kept, held) = (Arc::<Mutex<Vec<Span>>>::default(), Held::default());
        let exports = Arc::<Mutex<Vec<Export>>>::default();
        let intake = Intake {
            kept: Arc::clone(&kept),
            exports: Arc::clone(&exports),
            held: Arc::clone(&held),
            answers,
        };
        let address = block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
            let address = listener.local_addr().expect("a bound port");
            let server = tonic::transport::Server::builder()
                .add_service(TraceServiceServer::new(intake.clone()))
                .add_service(MetricsServiceServer::new(intake));
            tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
            address
        });
        Self { address, kept, exports, held }
    }

    /// Returns the value for `otlp_endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.kept).clone()
    }

    /// Returns the exports received so far.
    pub fn exports(&self) -> Vec<Export> {
        lock(&self.exports).clone()
    }

    /// Returns the exports that wait for an answer: unique numbers and the services that sent them.
    pub fn held(&self) -> BTreeMap<u64, String> {
        lock(&self.held).clone()
    }
}
