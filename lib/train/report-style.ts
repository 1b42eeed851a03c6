/** How pages look: reports of trainings, results of sweeps. */

/** Colours that are told apart in light and dark, also by most who do not see all of them. */
export const colors = ['#3b6fd4', '#e07b1f', '#2f9e6b', '#c8453f', '#8a5cc2', '#1c9fb0', '#b8487f', '#8a7a1f']

/** How pages look, light or dark as the reader's system is. */
export const style = `:root{color-scheme:light dark;--back:#fff;--text:#1d2430;--soft:#5d6675;--line:#d9dde4;--card:#f6f7f9;--hit:#3b6fd4;--miss:#c8453f}
@media(prefers-color-scheme:dark){:root{--back:#12151b;--text:#e6e9ef;--soft:#9aa4b4;--line:#2e3440;--card:#1a1f28;--hit:#5b8def;--miss:#e0625c}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1540px;padding:24px;background:var(--back);color:var(--text);font:15px/1.45 system-ui,"DejaVu Sans",sans-serif}
h1{font-size:24px;margin:0 0 16px}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:16px}
figure{margin:0;padding:14px;border-radius:8px;background:var(--card);min-width:0}figcaption{font-weight:600;margin-bottom:6px}
svg{display:block;width:100%;height:auto}svg text{font-size:12px;fill:var(--soft)}.grid{stroke:var(--line)}.axis{stroke:var(--soft)}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}.legend{display:flex;flex-wrap:wrap;gap:4px 16px;list-style:none;margin:8px 0 0;padding:0;font-size:13px;color:var(--soft)}
.legend i{display:inline-block;width:20px;height:0;margin-right:6px;vertical-align:middle;border-top:3px solid}.legend i.dashed{border-top-style:dashed}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:5px 12px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left}th{font-weight:600;color:var(--soft)}.scroll{overflow-x:auto}.summary{margin-bottom:20px}
.matrix td{text-align:center;min-width:38px;padding:6px 8px;border:1px solid var(--card)}.matrix th{text-align:center}.matrix tbody th{text-align:right;padding-right:10px}
.hit{background:color-mix(in srgb,var(--hit) var(--s,0%),transparent)}.miss{background:color-mix(in srgb,var(--miss) var(--s,0%),transparent)}.strong{color:#fff}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(72px,1fr));gap:10px;list-style:none;margin:0;padding:0;font-size:12px;text-align:center;color:var(--soft)}
.tiles svg{image-rendering:pixelated;margin-bottom:3px;border:1px solid var(--line)}
figure.wide{grid-column:1/-1}
pre{overflow-x:auto;margin:0;font:13px/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
${colors.map((c, i) => `polyline.c${i}{stroke:${c}}circle.c${i}{fill:${c}}i.b${i}{border-color:${c}}`).join('')}`
