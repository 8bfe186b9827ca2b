// Looks at the page as it is laid out and returns a list of complaints.
(() => {
  const complaints = [];
  const say = (text) => { if (complaints.length < 40 && !complaints.includes(text)) complaints.push(text); };
  const short = (text) => text.trim().replace(/\s+/g, ' ').slice(0, 60);
  const visible = (element) => element.getClientRects().length > 0;
  const phone = innerWidth < 600;

  const scrolling = document.scrollingElement;
  if (scrolling.scrollWidth > innerWidth) {
    say(`the page is ${scrolling.scrollWidth} wide in a window of ${innerWidth}`);
    for (const e of document.body.querySelectorAll('*')) {
      if (e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')) say(`  wider than the window: <${e.localName} class="${e.className.baseVal ?? e.className}">`);
    }
  }
  if (document.querySelector('script, link, img, iframe, object, embed, base, form')) say('an element that fetches or runs');
  for (const e of document.querySelectorAll('*')) {
    for (const a of e.attributes) {
      if (/^on/i.test(a.name) || /^\s*javascript:/i.test(a.value)) say(`an attribute that runs: ${a.name}`);
    }
  }

  // On a phone a table is cards, and nothing scrolls sideways.
  const boxes = '.tile, .warnings li, h1, p, li, figcaption' + (phone ? ', .scroll, td, dd' : '');
  for (const e of document.querySelectorAll(boxes)) {
    if (visible(e) && e.scrollWidth > e.clientWidth + 1) say(`text runs out of its box: ${short(e.textContent)}`);
  }

  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  if (new Set(ids).size !== ids.length) say('an id is used twice');
  for (const e of document.querySelectorAll('[aria-labelledby]')) {
    for (const id of e.getAttribute('aria-labelledby').split(' ')) if (!document.getElementById(id)) say(`no element has the id ${id}`);
  }
  for (const th of document.querySelectorAll('th')) if (!th.scope) say(`th without scope: ${short(th.textContent)}`);

  const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  let drawings = 0;
  for (const svg of document.querySelectorAll('svg')) {
    if (!visible(svg)) continue;
    const box = svg.getBoundingClientRect();
    if (!(box.width > 0 && box.height > 0)) say(`an empty drawing: ${svg.getAttribute('class')}`);
    const content = svg.getBBox();
    if (!(content.width > 0 && content.height > 0)) say('a drawing without content');
    if (svg.getAttribute('aria-hidden') === 'true') continue;
    ++drawings;
    const name = svg.querySelector('title')?.textContent;
    if (!name || !svg.querySelector('desc')?.textContent) say('a drawing without title or desc');
    const view = svg.viewBox.baseVal;
    const inside = (e, slack) => {
      const b = e.getBBox();
      return b.x >= view.x - slack && b.y >= view.y - slack && b.x + b.width <= view.x + view.width + slack && b.y + b.height <= view.y + view.height + slack;
    };
    const texts = [...svg.querySelectorAll('text')];
    for (const t of texts) if (!inside(t, 0.5)) say(`${name}: text outside the drawing: ${short(t.textContent)}`);
    for (const m of svg.querySelectorAll('circle, rect, polygon, polyline, line')) if (!inside(m, 1)) say(`${name}: a <${m.localName}> outside the drawing`);
    const boxes = texts.map((t) => t.getBoundingClientRect());
    for (let i = 0; i < texts.length; ++i) {
      for (let k = i + 1; k < texts.length; ++k) {
        if (overlap(boxes[i], boxes[k])) say(`${name}: "${short(texts[i].textContent)}" lies on "${short(texts[k].textContent)}"`);
      }
    }
    const grid = [...svg.querySelectorAll('line.grid')].map((l) => l.getBoundingClientRect());
    for (const t of svg.querySelectorAll('text.tick')) {
      const b = t.getBoundingClientRect();
      if (grid.some((l) => l.left < b.right - 1 && l.right > b.left + 1 && l.top > b.top && l.bottom < b.bottom)) say(`${name}: tick label "${short(t.textContent)}" lies on the plot`);
    }
    const size = parseFloat(getComputedStyle(texts[0] ?? svg).fontSize) * box.width / view.width;
    if (texts.length && size < 9) say(`${name}: its text is ${size.toFixed(1)} pixels high`);
  }

  const parse = (color) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => {
    const f = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const background = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  let least = 99;
  const demand = (ratio, limit, what) => {
    least = Math.min(least, ratio);
    if (ratio < limit) say(`contrast ${ratio.toFixed(2)} under ${limit}: ${what}`);
  };
  for (const e of document.body.querySelectorAll('*')) {
    if (e instanceof SVGElement || !visible(e)) continue;
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    demand(contrast(parse(getComputedStyle(e).color), background(e)), 4.5, short(e.textContent));
  }
  for (const svg of document.querySelectorAll('svg.chart')) {
    if (!visible(svg)) continue;
    const page = background(svg);
    const cells = [...svg.querySelectorAll('rect')].map((r) => [r.getBoundingClientRect(), parse(getComputedStyle(r).fill)]);
    for (const t of svg.querySelectorAll('text')) {
      const b = t.getBoundingClientRect(), x = (b.left + b.right) / 2, y = (b.top + b.bottom) / 2;
      const cell = cells.find(([r]) => r.left <= x && x <= r.right && r.top <= y && y <= r.bottom);
      demand(contrast(parse(getComputedStyle(t).fill), cell ? cell[1] : page), 4.5, `${svg.querySelector('title').textContent}: ${short(t.textContent)}`);
    }
    for (const m of svg.querySelectorAll('circle, polygon, polyline.curve')) {
      const style = getComputedStyle(m), filled = style.fill !== 'none' && !m.classList.contains('hollow');
      demand(contrast(parse(filled ? style.fill : style.stroke), page), 3, `${svg.querySelector('title').textContent}: <${m.localName} class="${m.getAttribute('class')}">`);
    }
  }
  return {complaints, drawings, least, phone, height: scrolling.scrollHeight, background: background(document.body)};
})()
