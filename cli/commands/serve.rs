//! `pipectl serve`: models behind REST, without a scheduler.

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use pipectl_engine::project::Serve;
use pipectl_server::{Shelf, Vitals};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    arguments,
    commands::execute::stop_on_signal,
    exit::{Exit, Problem},
    project::Context,
    serving,
    wire::{self, House},
};

pub(crate) fn run(context: &Context, arguments: &arguments::Serve) -> anyhow::Result<Exit> {
    let project = context.project()?;
    let address = address(arguments.listen.as_deref(), project.serve)?;
    if !address.ip().is_loopback() && !arguments.behind_proxy {
        return Err(Problem::usage(format!("{address} is no address of this machine alone, and whoever reaches it could use every model"))
            .hint("listen on 127.0.0.1, or say --behind-proxy when something in front of it decides who may come")
            .into());
    }
    wire::block_on(async {
        let house = House::open(project).await?;
        let default = match arguments.models.as_slice() {
            [one] => Some(one.clone()),
            _ => None,
        };
        let shelf = serving::shelf(&house, default);
        for reference in &arguments.models {
            let version = shelf.warm(reference).await.map_err(|why| {
                Problem::usage(why).hint("`pipectl models list` shows what is registered")
            })?;
            context.output.note(format_args!("serving {version}"));
        }
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Problem::environment(format!("cannot listen on {address}"))
                .because(error)
                .hint("--listen names another address")
        })?;
        let address = listener.local_addr()?;
        context.output.note(format_args!(
            "http://{address}/predict, /v1/models, /v2, /invocations, /health, /metrics"
        ));
        let stop = CancellationToken::new();
        let ready = Arc::new(Ready(Arc::clone(&shelf)));
        let models = pipectl_server::model_routes(Arc::clone(&shelf));
        let routes = pipectl_server::routes(ready).merge(models);
        let work = async {
            tokio::join!(
                pipectl_server::serve(listener, routes, stop.clone()),
                shelf.follow(&stop)
            )
            .0
        };
        tokio::select! {
            ended = work => ended.map_err(|error| Problem::environment("the port has failed").because(error))?,
            () = stop_on_signal(&context.output, &stop) => {}
        }
        Ok(Exit::Done)
    })
}

/// Where to listen: what was said, else what the project says.
pub(super) fn address(said: Option<&str>, project: Serve) -> Result<SocketAddr, Problem> {
    said.map_or(Ok(project.listen), |text| {
        Serve::address(text).ok_or_else(|| {
            Problem::usage(format!("--listen: `{text}` is no address")).hint("write 127.0.0.1:4747")
        })
    })
}

/// What serves models alone is ready as soon as it listens; that a model is there shows when one asks.
struct Ready(Arc<Shelf>);

#[async_trait]
impl Vitals for Ready {
    async fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    async fn metrics(&self) -> String {
        self.0.measures()
    }
}
