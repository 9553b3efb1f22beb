"""What happened is kept, and can be asked: past runs by id, flow or state; their nodes, elements, logs and stories.

>>> from dataflow import flow, history
>>> @flow(cluster="inline")
... def main():
...     return 3
>>> main()
3
>>> history.run("last").flow
'main'
"""

from dataflow.history.finding import artifacts, run, runs

__all__ = ["artifacts", "run", "runs"]
