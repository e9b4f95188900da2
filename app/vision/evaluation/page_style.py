"""How the report looks, on a screen and on paper."""

from typing import Final

STYLE: Final = """
:root{color-scheme:light;--ink:#1c1c22;--faint:#5f5f6b;--line:#dcdce4;--blue:#1f5fbf;--red:#b3261e}
*{box-sizing:border-box}
body{margin:0;background:#fff;color:var(--ink);font:16px/1.5 system-ui,"DejaVu Sans",sans-serif}
main{max-width:56rem;margin:0 auto;padding:0 1.25rem 3rem}
nav{max-width:56rem;margin:0 auto;padding:1rem 1.25rem 0;text-align:right;color:var(--faint)}
nav label{margin:0 .75rem 0 .1rem}
body:has(#tr:checked) main [lang=en],body:has(#en:checked) main [lang=tr]{display:none}
h1{font-size:1.9rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}
.lead{font-size:1.25rem;margin:.5rem 0}
.bar{position:relative;height:14px;border-radius:7px;background:#eeeef3;margin:.75rem 0;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
.bar i{position:absolute;top:0;bottom:0;background:#a9c6f0;border-radius:7px}
.bar b{position:absolute;top:-3px;bottom:-3px;width:4px;margin-left:-2px;background:var(--blue)}
table{border-collapse:collapse;max-width:100%;display:block;overflow-x:auto}
th,td{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:right;font-variant-numeric:tabular-nums}
th:first-child,td:first-child{text-align:left}thead th{color:var(--faint);font-weight:500;vertical-align:bottom}
.text th,.text td{text-align:left}
tbody th{font-weight:600;text-align:left}
td.hit,td.miss{print-color-adjust:exact;-webkit-print-color-adjust:exact}
td.hit{background:color-mix(in srgb,#7fb0ee calc(var(--share)*100%),#fff)}
td.miss{background:color-mix(in srgb,#ef9a92 calc(var(--share)*100%),#fff)}
.remarks{border-left:4px solid #e0a800;padding-left:1rem}.remarks h2{margin-top:1rem}.remarks ul{padding-left:1.1rem}
.diagram{margin:0;max-width:24rem}.diagram svg{width:100%}.diagram circle{fill:var(--blue);fill-opacity:.75}
.grid path{stroke:var(--line)}.honest{stroke:var(--faint);stroke-dasharray:5 4}
.diagram text{font-size:11px;fill:#5f5f6b}
figcaption,footer,small{color:var(--faint)}figcaption b{color:var(--ink)}footer{margin-top:2.5rem;font-size:.9rem}
.mistakes{display:grid;grid-template-columns:repeat(auto-fill,minmax(22rem,1fr));gap:1.25rem}
.mistakes figure{margin:0;break-inside:avoid}.mistakes div{display:flex;gap:4px}
.mistakes img{width:calc((100% - 8px)/3);border-radius:4px}small{overflow-wrap:anywhere}
@media print{nav{display:none}main{max-width:none;padding:0}section{break-inside:avoid}body{font-size:11pt}
.mistakes{grid-template-columns:1fr 1fr}section:has(.mistakes){break-inside:auto}}
"""
