"""The upload of bench's plain rows by toloka-kit, as its documentation does it.

Usage: upload.py URL FILE
"""
import csv
import sys
from itertools import islice

import toloka.client as toloka


def tasks_of(rows):
    for url, title, label in rows:
        task = toloka.Task(pool_id='1', input_values={'url': url, 'title': title})
        if label:
            task.known_solutions = [toloka.Task.KnownSolution(output_values={'label': label})]
            task.infinite_overlap = True
        yield task


def main(url, path):
    client = toloka.TolokaClient('bench', url=url)
    with open(path, newline='', encoding='utf-8') as f:
        rows = csv.reader(f, delimiter='\t')
        next(rows)
        tasks = tasks_of(rows)
        while chunk := list(islice(tasks, 5000)):
            result = client.create_tasks(chunk, allow_defaults=True, skip_invalid_items=True, async_mode=False)
            if len(result.items) != len(chunk):
                sys.exit(f'{len(result.items)} of {len(chunk)} tasks were created')


main(*sys.argv[1:])
