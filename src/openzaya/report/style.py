"""What all pages share."""

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1c1c; background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
table { border-collapse: collapse; font-size: .9rem } .scroll { overflow-x: auto }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right }
td { white-space: nowrap }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 10rem }
svg { max-width: 100%; height: auto } pre { overflow-x: auto; background: #f4f4f4; padding: .7rem }
.warn { background: #fff3cd; padding: .6rem 1rem; border-left: 4px solid #d39e00 }
.holds { color: #1b7f3b; font-weight: 600 } .lacks { color: #b02a37; font-weight: 600 }
.grid { display: flex; gap: .6rem; overflow-x: auto } .round { min-width: 13rem }
.cell { font: 12px/1.35 ui-monospace, monospace; border: 1px solid #ccc; border-left-width: 4px;
        padding: .25rem .4rem; margin-bottom: .3rem; overflow-wrap: anywhere }
.cell.right { border-left-color: #1b7f3b } .cell small { color: #666 }
</style></head><body>
"""
