from sglite.router_server.router_metrics import RouterMetrics


def make():
    gauges = {
        "worker_up": {("http://a",): 1.0, ("http://b",): 0.0},
        "worker_open_calls": {("http://a",): 3.0},
        "waiting_calls": {(): 2.0},
    }
    return RouterMetrics(lambda: gauges)


def lines(metrics):
    text = metrics.to_prometheus().decode()
    return {line for line in text.splitlines() if line.startswith("sglite_router:")}


def test_what_happens_is_counted():
    metrics = make()
    metrics.http_request("/generate")
    metrics.http_request(None)
    metrics.http_response("/generate", 503)
    for _ in range(2):
        metrics.add("decisions_total", "http://a")
    metrics.add("retries_total")
    metrics.decided(0.00003)
    assert lines(metrics) >= {
        'sglite_router:http_requests_total{endpoint="/generate"} 1.0',
        'sglite_router:http_requests_total{endpoint="other"} 1.0',
        'sglite_router:http_responses_total{endpoint="/generate",status_class="5xx"} 1.0',
        'sglite_router:decisions_total{worker="http://a"} 2.0',
        "sglite_router:retries_total 1.0",
        'sglite_router:decision_seconds_bucket{le="2e-05"} 0.0',
        'sglite_router:decision_seconds_bucket{le="5e-05"} 1.0',
    }


def test_the_state_is_asked_for_at_each_scrape():
    assert lines(make()) >= {
        'sglite_router:worker_up{worker="http://a"} 1.0',
        'sglite_router:worker_up{worker="http://b"} 0.0',
        'sglite_router:worker_open_calls{worker="http://a"} 3.0',
        "sglite_router:waiting_calls 2.0",
    }
