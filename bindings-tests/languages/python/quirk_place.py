import curses
import time
import zoneinfo

curses.setupterm()
zone = zoneinfo.ZoneInfo("Europe/Berlin").key
print("quirk" if time.tzname == ("UTC", "UTC") and zone else "wrong")
