"""Blocks that are replaced whole, and control that one has at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from csflow.runtime.plc.exchange import EDGES, Exchange
from csflow.runtime.plc.process_image import Orders, Report


def order(exchange: Exchange, who: str, **change: int) -> bool:
    return exchange.order(who, lambda orders: replace(orders, **change))  # type: ignore[arg-type]


def test_the_first_has_control_until_it_leaves() -> None:
    exchange = Exchange()
    assert order(exchange, "a", control=1)
    assert not order(exchange, "b", control=0)
    exchange.leave("b")
    assert (exchange.holder, exchange.orders.control) == ("a", 1)
    exchange.leave("a")
    assert (exchange.holder, exchange.orders) == ("", Orders())
    assert order(exchange, "b", control=1)


def test_silence_takes_control_away_and_a_sign_keeps_it() -> None:
    exchange = Exchange()
    order(exchange, "a", control=1)
    time.sleep(0.03)
    exchange.show("b")
    exchange.show("a")
    assert exchange.take(20_000_000) == (Orders(1), "")
    time.sleep(0.03)
    assert exchange.take(0) == (Orders(1), "")
    assert exchange.take(20_000_000) == (Orders(), "a")
    assert exchange.take(20_000_000) == (Orders(), "")


def test_a_report_wakes_who_waits_for_it_and_has_a_number() -> None:
    exchange = Exchange()
    number = exchange.published.number
    threading.Timer(0.02, exchange.publish, [Report(state=6)]).start()
    published = exchange.wait_report(number, 30.0)
    assert (published.number, published.report.state) == (number + 1, 6)
    exchange.publish(Report(state=6))
    assert exchange.published.number == number + 1, "the same report is no news"
    assert exchange.wait_report(number + 1, 0.01) == published


def test_orders_wake_the_station_and_the_same_orders_do_not() -> None:
    exchange = Exchange()
    order(exchange, "a", control=1)
    begun = time.monotonic()
    exchange.wait(30.0)
    assert time.monotonic() - begun < 10
    order(exchange, "a", control=1)
    begun = time.monotonic()
    exchange.wait(0.05)
    assert time.monotonic() - begun >= 0.04


def test_no_edge_is_lost_between_two_scans() -> None:
    exchange = Exchange()
    for number in (1, 2, 3):
        order(exchange, "a", control=3, trigger_id=number)
        order(exchange, "a", control=1)
    seen = [exchange.take(0)[0] for _ in range(7)]
    assert [one.control for one in seen] == [3, 1, 3, 1, 3, 1, 1]
    assert [one.trigger_id for one in seen[::2]][:3] == [1, 2, 3]


def test_other_changes_need_no_scan_each() -> None:
    exchange = Exchange()
    for beat in range(1, 10):
        order(exchange, "a", heartbeat=beat)
    assert exchange.take(0)[0].heartbeat == 9


def test_a_flood_of_edges_is_bounded_and_ends_with_the_last_orders() -> None:
    exchange = Exchange()
    for number in range(1, 1001):
        order(exchange, "a", control=3 if number % 2 else 1, trigger_id=number)
    seen = [exchange.take(0)[0] for _ in range(EDGES + 1)]
    assert seen[0].trigger_id == 1
    assert seen[-1] == seen[-2] == exchange.orders
    assert exchange.orders.trigger_id == 1000


def test_the_station_is_woken_for_each_of_them() -> None:
    exchange = Exchange()
    order(exchange, "a", control=3)
    order(exchange, "a", control=1)
    for _ in range(2):
        begun = time.monotonic()
        exchange.wait(30.0)
        assert time.monotonic() - begun < 10
        exchange.take(0)
