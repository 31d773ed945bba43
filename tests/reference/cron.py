"""When cron lines fire, found by walking through real time with Python's zoneinfo.

An independent reference for engine/src/trigger: no calendar search, no resolving of local times. Every real quarter of an
hour is looked at (these zones shift their clocks on such quarters only); between two shifts, what the clocks show is compared
with the lines.

A line with a wildcard or a step in its minute or hour fires whenever the clocks show it. Any other fires once: the walk
remembers the furthest that the clocks have shown, so a time shown again does not fire, and a time that was jumped over
fires at the jump.

Usage: cron.py FIRST_YEAR LAST_YEAR, with a JSON list of {"zone", "lines"} on stdin; answers one line of Unix minutes for
each, in the same order.
"""

import json
import sys
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

QUARTER = 15
EPOCH = datetime(1970, 1, 1)


def values(field, low, high):
    found = set()
    for part in field.split(","):
        part, _, step = part.partition("/")
        if part == "*":
            first, last = low, high
        else:
            first, _, last = part.partition("-")
            first, last = int(first), int(last or (high if step else first))
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Line:
    def __init__(self, text):
        minute, hour, day, month, weekday = text.split()
        self.minutes = sorted(values(minute, 0, 59))
        self.hours = sorted(values(hour, 0, 23))
        self.days = values(day, 1, 31)
        self.months = values(month, 1, 12)
        self.weekdays = {value % 7 for value in values(weekday, 0, 7)}
        self.either = day != "*" and weekday != "*"
        self.once = not any(sign in minute + hour for sign in "*/")

    def on(self, day):
        """Whether it fires on a day, counted from 1970-01-01."""
        date = EPOCH + timedelta(days=day)
        by_day = date.day in self.days
        by_weekday = date.isoweekday() % 7 in self.weekdays
        fits = by_day or by_weekday if self.either else by_day and by_weekday
        return fits and date.month in self.months

    def shown(self, first, last):
        """The minutes of the clock in [first, last) at which it is set to fire."""
        for day in filter(self.on, range(first // 1440, last // 1440 + 1)):
            for hour in self.hours:
                for minute in self.minutes:
                    at = day * 1440 + hour * 60 + minute
                    if first <= at < last:
                        yield at


def stretches(zone, first, last):
    """(first real minute, last, minutes ahead of UTC) between the shifts of a zone's clocks."""
    zone = ZoneInfo(zone)
    found = []
    for real in range(first, last, QUARTER):
        ahead = int(datetime.fromtimestamp(real * 60, zone).utcoffset().total_seconds()) // 60
        if found and found[-1][2] == ahead:
            found[-1][1] = real + QUARTER
        else:
            found.append([real, real + QUARTER, ahead])
    return found


def walk(lines, stretches):
    fired = set()
    furthest = stretches[0][0] + stretches[0][2]
    for first, last, ahead in stretches:
        for line in lines:
            if line.once:
                for minute in line.shown(furthest, last + ahead):
                    fired.add(max(minute, first + ahead) - ahead)
            else:
                fired.update(minute - ahead for minute in line.shown(first + ahead, last + ahead))
        furthest = max(furthest, last + ahead)
    return sorted(fired)


def main():
    first, last = (
        int(datetime(int(year), 1, 1, tzinfo=timezone.utc).timestamp()) // 60 for year in sys.argv[1:3]
    )
    known = {}
    for case in json.load(sys.stdin):
        zone = case["zone"]
        if zone not in known:
            known[zone] = stretches(zone, first, last)
        print(*walk([Line(text) for text in case["lines"]], known[zone]))


main()
