"""Reads lines `product,pieces,price` and prints the turnover of each product as JSON."""

import collections
import csv
import decimal
import json
import sys

turnover = collections.defaultdict(decimal.Decimal)
for product, pieces, price in csv.reader(sys.stdin):
    turnover[product] += int(pieces) * decimal.Decimal(price)
print(json.dumps({name: str(sum) for name, sum in sorted(turnover.items())}, indent=2))
