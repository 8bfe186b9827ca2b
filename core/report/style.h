// The style sheet of the page. Colours are variables, set once for light and once for dark; text and lines that carry
// meaning keep a contrast of 4.5 (3 for marks) in both. Blue, orange and purple stay apart for colour-blind readers, and
// shapes and words repeat what colours say.
#ifndef NASHSWARM_CORE_REPORT_STYLE_H_
#define NASHSWARM_CORE_REPORT_STYLE_H_

namespace nashswarm::report {

inline constexpr char kStyle[] = R"css(
:root{color-scheme:light dark;
--page:#fdfdfc;--ink:#18212c;--soft:#55616e;--line:#d9dee3;--faint:#eceff2;--raised:#f4f6f8;
--ours:#0b5cad;--ours-bg:#e8f1fb;--base:#b04a00;--trial:#7a3d9e;--rest:#6d869d;--warn:#8a5200;--warn-bg:#fdf4e3;--warn-line:#d99a2b;
--b1:#f1f4e8;--b2:#dceaf0;--b3:#bcd9e8;--b4:#91c0dc;--b5:#5f9fcb;--b6:#2f73ae;--b7:#1b5489;--b8:#0f355c;
--low:#14202b;--high:#ffffff}
@media screen and (prefers-color-scheme:dark){:root{
--page:#11161c;--ink:#e6ebf0;--soft:#a3afbb;--line:#36414c;--faint:#232b34;--raised:#1a2129;
--ours:#6fb3f2;--ours-bg:#16293d;--base:#f2a25c;--trial:#cfa0ec;--rest:#71879c;--warn:#f2c46d;--warn-bg:#2b2415;--warn-line:#b98a2e;
--b1:#2a2f27;--b2:#1b3144;--b3:#1d4160;--b4:#20527d;--b5:#3070a5;--b6:#67a6d8;--b7:#9ccaec;--b8:#d7ebfa;
--low:#f2f7fb;--high:#0c1620}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:928px;margin:0 auto;padding:40px 24px 56px}
h1,h2,p,dl,dd,figure,ul,ol{margin:0;padding:0}
h1{font-size:2rem;line-height:1.2;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.25rem;line-height:1.3;margin-bottom:12px}
section{margin-top:48px}
section>p{max-width:68ch;margin-bottom:16px}
code{font:.875em ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.kind{color:var(--soft);font-size:.875rem;margin-bottom:4px}
.facts{margin-top:6px;color:var(--soft);overflow-wrap:anywhere}
.plan{margin-top:20px;font-size:1.0625rem;max-width:68ch;overflow-wrap:anywhere}
.plan-note{margin-top:6px;font-size:.8125rem;color:var(--soft);max-width:84ch;overflow-wrap:anywhere}
.command{background:var(--raised);border-radius:6px;padding:12px 14px;max-width:none;overflow-wrap:anywhere}
.list{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:6px 20px;font-size:.875rem}
.list dt{color:var(--soft)}
.list dd{overflow-wrap:anywhere}
.hint{margin-top:10px;font-size:.9375rem}
a{color:var(--warn)}
.tiles{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:12px;margin-top:24px}
.tile{background:var(--raised);border-radius:8px;padding:14px 16px}
.tile dt{font-size:.875rem;color:var(--soft)}
.big{display:block;font-size:1.75rem;line-height:1.25;font-weight:650;font-variant-numeric:tabular-nums;letter-spacing:-.01em;white-space:nowrap}
.note{display:block;font-size:.8125rem;line-height:1.4;color:var(--soft);font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;position:relative;border-top:1px solid var(--line);border-bottom:1px solid var(--line)}
.scroll:focus-visible,summary:focus-visible{outline:2px solid var(--ours);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.4;font-variant-numeric:tabular-nums}
th,td{padding:9px 0 9px 16px;text-align:left;vertical-align:top;border-top:1px solid var(--faint)}
th:first-child{padding-left:10px}
td:last-child,th:last-child{padding-right:10px}
td{white-space:nowrap}
td:not(.n){padding-left:28px}
thead th+th:not(.n){padding-left:28px}
thead th{font-weight:500;color:var(--soft);vertical-align:bottom;border-top:0;font-size:.8125rem;line-height:1.3}
tbody tr:first-child>*{border-top:1px solid var(--line)}
tbody th,tfoot th{font-weight:500;overflow-wrap:anywhere;min-width:146px}
details tbody th{min-width:160px}
tfoot>tr>*{border-top:1px solid var(--line);font-weight:600}
.n{text-align:right}
.ours>*{background:var(--ours-bg)}
tr.ours>th,tr.ours>td{font-weight:650}
tr.ours>th{box-shadow:inset 3px 0 var(--ours)}
.second{display:block;white-space:normal;font-size:.75rem;line-height:1.35;color:var(--soft);font-weight:400}
.wrap{white-space:normal;min-width:220px;max-width:44ch}
.keep{white-space:nowrap}
.none{color:var(--soft)}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.fine,figcaption{font-size:.8125rem;line-height:1.5;color:var(--soft);margin-top:10px;max-width:84ch}
section>p.fine{margin-bottom:0}
.missing{margin-top:14px;padding:10px 14px;background:var(--raised);border-radius:6px}
section>p.missing{margin-bottom:0;max-width:none}
.missing code{white-space:nowrap}
.pass{color:var(--ours);font-weight:600}
.miss{color:var(--base);font-weight:600}
.warnings{list-style:none;display:grid;gap:8px}
.warnings li{display:grid;grid-template-columns:22px minmax(0,1fr);gap:10px;background:var(--warn-bg);border-left:3px solid var(--warn-line);border-radius:0 6px 6px 0;padding:10px 14px 10px 12px;font-size:.9375rem;overflow-wrap:anywhere}
.sign{width:20px;height:20px;margin-top:1px;border-radius:50%;border:1.5px solid var(--warn);color:var(--warn);font-size:.8125rem;font-weight:700;line-height:17px;text-align:center}
.bar{display:inline-block;width:120px;height:8px;border-radius:4px;background:var(--faint);margin-right:8px;overflow:hidden}
.bar>span{display:block;height:100%;background:var(--rest)}
summary{cursor:pointer;padding:10px 0;font-weight:500}
details{margin-top:20px}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px;font-size:.8125rem;line-height:1.5;color:var(--soft);margin-bottom:14px}
.legend li{display:flex;align-items:center;gap:8px}
.key{width:24px;height:14px;flex:none;overflow:visible}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:36px 20px}
.worst-list{padding-left:1.6em;margin-top:8px;font-size:.8125rem;line-height:1.5;font-variant-numeric:tabular-nums}
.worst-list li{padding:2px 0}
.tensor{overflow-wrap:anywhere;font-weight:500}
.trio{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:36px 20px}
.stack{display:grid;gap:20px}
.pair+.scroll,.stack+.scroll{margin-top:24px}
.notes{padding-left:1.2em;max-width:76ch;overflow-wrap:anywhere}
.notes li{padding:2px 0}
.value{color:var(--soft);white-space:nowrap}
.digest{overflow-wrap:anywhere}
footer{margin-top:56px;padding-top:16px;border-top:1px solid var(--line);font-size:.8125rem;color:var(--soft)}
.chart{display:block;width:100%;height:auto}
.narrow{display:none}
.chart text{font-size:12px;fill:var(--ink);font-variant-numeric:tabular-nums}
.chart text.tick{fill:var(--soft)}
.chart text.name{fill:var(--soft)}
.chart text.strong{font-weight:650;fill:var(--ours)}
.chart text.mid{text-anchor:middle}
.chart text.end{text-anchor:end}
.grid{stroke:var(--faint);stroke-width:1}
.axis{stroke:var(--line);stroke-width:1}
.leader{stroke:var(--soft);stroke-width:.75}
.whisker{stroke:var(--soft);stroke-width:1.25}
.reference{stroke:var(--base);stroke-width:1.25;stroke-dasharray:5 4}
.curve{fill:none;stroke:var(--ours);stroke-width:1.75;stroke-linejoin:round}
.cells{shape-rendering:crispEdges}
circle,polygon,.chart rect{stroke-width:0}
circle.ours,polygon.ours{fill:var(--ours)}
.base{fill:var(--base)}
.trial{fill:var(--trial)}
polygon.hollow{fill:var(--page);stroke-width:2}
polygon.ours.open{fill:none;stroke:var(--ours);stroke-width:2}
polygon.base.open{fill:none;stroke:var(--base);stroke-width:2}
polygon.trial.hollow{stroke:var(--trial)}
.worst{fill:var(--base)}
.rest{fill:var(--rest)}
.b1{fill:var(--b1)}.b2{fill:var(--b2)}.b3{fill:var(--b3)}.b4{fill:var(--b4)}.b5{fill:var(--b5)}.b6{fill:var(--b6)}.b7{fill:var(--b7)}.b8{fill:var(--b8)}
.chart text.in{fill:var(--low)}
.chart text.b6t,.chart text.b7t,.chart text.b8t{fill:var(--high)}
.chart rect:hover,.chart circle:hover,.chart polygon:hover{stroke:var(--ink);stroke-width:1.5}
@media screen and (max-width:719px){
main{padding:24px 16px 40px}
h1{font-size:1.5rem}
section{margin-top:40px}
.tiles{grid-auto-flow:row;grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}
.tile{padding:12px}
.big{font-size:1.375rem}
.pair,.trio{grid-template-columns:minmax(0,1fr)}
.wide{display:none}
.narrow{display:block;max-width:460px}
.legend{flex-direction:column;gap:2px}
.legend.row{flex-direction:row;gap:2px 14px}
.list{grid-template-columns:minmax(0,1fr);gap:2px}
.list dd{margin-bottom:8px}
.scroll{overflow:visible}
table,tbody,tfoot,th,td{display:block}
thead{display:none}
tr{display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:6px 12px;padding:10px;border-top:1px solid var(--line)}
tbody>tr:first-child{border-top:0}
tr.ours{background:var(--ours-bg);box-shadow:inset 3px 0 var(--ours)}
tr.ours>th{box-shadow:none}
.scroll table tr>*{padding:0;border:0;text-align:left;white-space:normal;min-width:0}
.scroll table tr>th{grid-column:1/-1;font-size:.9375rem;font-weight:600}
td:has(.wrap),td:has(.bar){grid-column:span 2}
td:empty{display:none}
td,dd{overflow-wrap:anywhere}
.keep{white-space:normal}
td::before{content:attr(data-l);display:block;color:var(--soft);font-size:.75rem;line-height:1.35;font-weight:400}
.wrap{min-width:0;max-width:none}
.bar{width:64px}
}
@media print{
@page{margin:14mm}
html{font-size:13px}
:root{--page:#ffffff}
body{-webkit-print-color-adjust:exact;print-color-adjust:exact}
main{max-width:none;padding:0}
section{margin-top:16pt}
h2{break-after:avoid}
figure,.tile,.warnings li,tr{break-inside:avoid}
.legend,figcaption{break-inside:avoid}
.scroll{overflow:visible}
table{font-size:8pt}
th,td,td:not(.n),thead th+th:not(.n){padding:4pt 0 4pt 7pt}
thead th{font-size:7.5pt}
.second{font-size:7pt}
tbody th,tfoot th{min-width:58pt}
tfoot{display:table-row-group}
#price-path,#trials,#texts,#costs{break-inside:avoid}
details{display:none}
}
)css";

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_STYLE_H_
