"""Blocks that are replaced whole, and control that one has at a time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from csflow.runtime.plc.exchange import Exchange
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
