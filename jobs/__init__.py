"""The business jobs: what the worker does for its product. Put your own here, one file per job.

A job is a plain function. It answers something JSON can carry, declares its policy with
`worker.retry.with_policy`, and uses `worker.context.current()` for progress, cache and settings; it never
touches Redis or the environment. The jobs are `products.analyze_product` (docs/products.md; its readers are in
`reading/`) and `notifications.notify`, and `probe.echo` for trying a deployment; the other modules here serve
them. A producer may call any function of this package, so none of them may take a security decision from its
arguments.
"""
