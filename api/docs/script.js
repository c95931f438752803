'use strict';
// The page reads /openapi.json and shows one operation, event or schema at a time: the one that the address's hash names. It asks for nothing
// else, keeps nothing, and takes no key. Everything is made with the DOM's own functions, so no text of the document can become markup.
const $ = (id) => document.getElementById(id);
let doc;
const entries = []; // what can be shown: {id, verb, title, group, text, show}

// make builds an element: its children are nodes or text, and what is empty is left out.
function make(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) if (value !== undefined && value !== false) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== '' && child !== false));
  return made;
}

// resolve follows a reference inside the document.
function resolve(value) {
  while (value?.$ref) value = value.$ref.slice(2).split('/').reduce((at, key) => at[key.replaceAll('~1', '/').replaceAll('~0', '~')], doc);
  return value;
}

const nameOf = (schema) => schema?.$ref?.slice(schema.$ref.lastIndexOf('/') + 1);

// prose is a text with the little Markdown that descriptions use: paragraphs, **bold**, `code`.
function prose(text) {
  return (text ?? '').split(/\n\n+/).filter(Boolean).map((paragraph) => make('p', null, paragraph.split(/(\*\*[^*]+\*\*|`[^`]+`)/).map((part) => {
    if (part.startsWith('**') && part.length > 4) return make('strong', null, part.slice(2, -2));
    if (part.startsWith('`') && part.length > 2) return make('code', null, part.slice(1, -1));
    return part;
  })));
}

function block(text, label) {
  const copy = make('button', { type: 'button', 'aria-label': `Copy ${label}` }, 'Copy');
  const shown = make('pre', { tabindex: '0', 'aria-label': label }, text);
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = 'Copied';
    } catch { // a page that came by plain HTTP from another machine has no clipboard: the text is selected instead
      getSelection().selectAllChildren(shown);
      copy.textContent = 'Selected';
    }
    setTimeout(() => { copy.textContent = 'Copy'; }, 1500);
  };
  return make('div', { class: 'block' }, shown, copy);
}

// lazily fills a fold when it is opened first: schemas are recursive.
function fold(summary, fill, attributes) {
  const made = make('details', { class: 'more', ...attributes }, make('summary', null, summary));
  let filled = false;
  const show = () => {
    if (made.open && !filled) {
      filled = true;
      made.append(...[fill()].flat().filter(Boolean));
    }
  };
  made.addEventListener('toggle', show);
  show();
  return made;
}

const json = (value) => JSON.stringify(value, null, 2);

function typeOf(schema) {
  const name = nameOf(schema);
  const s = resolve(schema) ?? {};
  const types = [s.type].flat().filter(Boolean);
  let type = types.join(' or ');
  if (types.includes('array')) {
    const of = make('span', null, 'array of ', typeOf(s.items));
    return types.length > 1 ? make('span', null, of, ' or null') : of;
  }
  if (s.additionalProperties && typeof s.additionalProperties === 'object') return make('span', null, 'object of ', typeOf(s.additionalProperties));
  if (s.oneOf ?? s.anyOf) type = 'one of several';
  if (name) return make('a', { href: `#schemas/${name}` }, name);
  return document.createTextNode((type || 'any') + (s.format ? ` (${s.format})` : ''));
}

function limitsOf(s) {
  const of = [];
  if (s.enum) of.push(`one of ${s.enum.map((v) => JSON.stringify(v)).join(', ')}`);
  const range = (low, high, unit) => {
    if (low !== undefined && high !== undefined) of.push(`${low} to ${high}${unit}`);
    else if (low !== undefined) of.push(`at least ${low}${unit}`);
    else if (high !== undefined) of.push(`at most ${high}${unit}`);
  };
  range(s.minimum, s.maximum, '');
  range(s.minLength, s.maxLength, ' characters');
  range(s.minItems, s.maxItems, ' items');
  if (s.uniqueItems) of.push('each once');
  if (s.pattern) of.push(s.patternDescription ? `${s.patternDescription} (${s.pattern})` : s.pattern);
  if (s.default !== undefined) of.push(`default ${JSON.stringify(s.default)}`);
  if (s.examples?.length) of.push(`for example ${JSON.stringify(s.examples[0])}`);
  return of.join(' · ');
}

// inner is the schema whose members are worth showing: through lists and maps.
function inner(schema) {
  const s = resolve(schema);
  if (s?.items) return inner(s.items);
  if (s?.additionalProperties && typeof s.additionalProperties === 'object') return inner(s.additionalProperties);
  return s?.properties || s?.oneOf || s?.anyOf ? schema : undefined;
}

function field(name, schema, required, description) {
  const s = resolve(schema) ?? {};
  const within = inner(schema);
  const limits = limitsOf(s.type === 'array' && s.items && !s.items.$ref ? { ...s.items, ...s } : s);
  return make('li', null,
    make('code', null, name), ' ', make('span', { class: 'type' }, typeOf(schema)), ' ', required && make('span', { class: 'must' }, 'required'),
    prose(description ?? schema.description ?? s.description), limits && make('p', { class: 'limits' }, limits),
    within && fold('its fields', () => fields(within)));
}

// fields are the members of an object, or the variants of a union.
function fields(schema) {
  const s = resolve(inner(schema) ?? schema) ?? {};
  const variants = s.oneOf ?? s.anyOf;
  if (variants) {
    const values = new Map(Object.entries(s.discriminator?.mapping ?? {}).map(([value, ref]) => [ref, value]));
    return make('ul', { class: 'fields' }, variants.map((variant) => make('li', null,
      fold(values.has(variant.$ref) ? `${s.discriminator.propertyName}: "${values.get(variant.$ref)}"` : nameOf(variant) ?? 'variant',
        () => [...prose(resolve(variant).description), fields(variant)], { open: variants.length === 1 ? '' : undefined }))));
  }
  if (!s.properties) return make('p', { class: 'type' }, typeOf(schema), ' ', limitsOf(s));
  const required = new Set(s.required);
  const names = Object.keys(s.properties).sort((a, b) => required.has(b) - required.has(a));
  return make('ul', { class: 'fields' }, names.map((name) => field(name, s.properties[name], required.has(name))));
}

// examplesOf are a content's examples by name.
function examplesOf(content) {
  if (content.example !== undefined) return [['', content.example]];
  return Object.entries(content.examples ?? {}).map(([name, example]) => [name, resolve(example).value]);
}

const textOf = (value) => (typeof value === 'string' ? value : json(value));

// body shows what is sent or answered in each of its types.
function body(content, what) {
  return Object.entries(content ?? {}).map(([type, c]) => [
    make('p', { class: 'kind' }, type, c.schema && [' · ', typeOf(c.schema)]),
    examplesOf(c).map(([, value]) => block(textOf(value), `the example of ${what}`)),
    inner(c.schema) && fold('Fields', () => fields(c.schema), { open: what === 'the answer' ? undefined : '' }),
  ]).flat(2);
}

const problemType = 'application/problem+json';

function response(status, r) {
  const problems = r.content?.[problemType];
  if (problems) {
    return make('details', { class: 'answer' }, make('summary', null, make('strong', null, status), ' ', r.description),
      make('ul', { class: 'codes' }, Object.entries(problems.examples ?? {}).map(([name, example]) => {
        const value = resolve(example).value;
        return make('li', null, make('a', { href: `/problems/${value.code}` }, make('code', null, value.code)), ` ${value.title}. `,
          fold('Example', () => block(json(value), `the example of ${name}`)));
      })));
  }
  const headers = Object.entries(r.headers ?? {}).map(([name, header]) => {
    const h = resolve(header);
    return field(name, h.schema ?? {}, false, h.description ?? h.schema?.description);
  });
  return make('details', { class: 'answer', open: '' }, make('summary', null, make('strong', null, status), ' ', r.description),
    body(r.content, 'the answer'), headers.length > 0 && fold('Headers', () => make('ul', { class: 'fields' }, headers)));
}

const exampleOf = (p) => p.example ?? p.schema?.examples?.[0] ?? p.schema?.default ?? resolve(p.schema?.items)?.examples?.[0] ?? p.schema?.enum?.[0] ?? p.name;
const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;

// curl is a command that works as it stands where CHASQUI_KEY is set; what it names are the document's examples.
function curl(method, path, o) {
  const parameters = (o.parameters ?? []).map(resolve);
  const filled = path.replace(/\{([^}]+)\}/g, (_, name) => {
    const parameter = parameters.find((p) => p.in === 'path' && p.name === name);
    return encodeURIComponent(String(parameter ? exampleOf(parameter) : name));
  });
  const query = new URLSearchParams(parameters.filter((p) => p.in === 'query' && p.required).map((p) => [p.name, String(exampleOf(p))])).toString();
  const types = Object.entries(o.responses).filter(([status]) => status[0] === '2').flatMap(([, r]) => Object.keys(r.content ?? {}));
  const picture = types.find((type) => type.startsWith('image/'));
  const lines = [`curl${types.includes('text/event-stream') ? ' -N' : ''}${method === 'get' ? '' : ` -X ${method.toUpperCase()}`}`
    + ` ${quote(location.origin + filled + (query && `?${query}`))}`];
  if (o.security?.length !== 0) lines.push('-H "X-API-Key: $CHASQUI_KEY"');
  for (const p of parameters) if (p.in === 'header' && p.required) lines.push(`-H ${quote(`${p.name}: ${exampleOf(p)}`)}`);
  const content = o.requestBody?.content ?? {};
  const form = content['multipart/form-data'];
  if (content['application/json']) {
    const [, example] = examplesOf(content['application/json'])[0] ?? ['', {}];
    lines.push(`-H 'Content-Type: application/json'`, `-d ${quote(json(example))}`);
  } else if (form) {
    for (const [name, s] of Object.entries(resolve(form.schema).properties ?? {})) {
      const example = form.example?.[name] ?? s.examples?.[0];
      if (s.format === 'binary' || s.contentMediaType) lines.push(`-F ${quote(`${name}=@picture.jpg`)}`);
      else if (example !== undefined) lines.push(`-F ${quote(`${name}=${textOf(example)}`)}`);
    }
  }
  if (picture && types.length === 1) lines.push(`-o picture.${picture.slice(6)}`);
  return lines.join(' \\\n  ');
}

const places = { path: 'in the path', query: 'in the query', header: 'header', cookie: 'cookie' };

function showOperation(method, path, o, event) {
  const parameters = (o.parameters ?? []).map(resolve);
  return [
    make('p', { class: 'kind' }, event ? 'Event' : o.tags?.[0]),
    make('h1', { tabindex: '-1' }, o.summary),
    make('p', { class: 'route' }, make('span', { class: `verb ${event ? 'event' : method}` }, event ? 'EVENT' : method.toUpperCase()), make('code', null, path)),
    o.deprecated && make('p', { class: 'old' }, 'A route of the original program, kept for its clients. Its answers name the successor in the header Link.'),
    !event && o.security?.length === 0 && make('p', { class: 'kind' }, 'Needs no API key.'),
    prose(o.description),
    !event && [make('h2', null, 'curl'), block(curl(method, path, o), 'the curl command')],
    parameters.length > 0 && [make('h2', null, event ? 'Headers' : 'Parameters'),
      make('ul', { class: 'fields' }, parameters.map((p) => {
        const made = field(p.name, { ...p.schema, examples: p.example === undefined ? p.schema?.examples : [p.example] }, p.required, p.description);
        made.querySelector('.type').append(` ${places[p.in]}`);
        return made;
      }))],
    o.requestBody && [make('h2', null, event ? 'What is sent to you' : 'Body'), body(o.requestBody.content, 'the body')],
    make('h2', null, event ? 'What you answer' : 'Answers'),
    Object.entries(o.responses).map(([status, r]) => response(status, resolve(r))),
  ].flat(2);
}

function showSchema(name) {
  const s = doc.components.schemas[name];
  const users = entries.filter((e) => e.value && JSON.stringify(e.value).includes(`"#/components/schemas/${name}"`));
  return [
    make('p', { class: 'kind' }, 'Schema'), make('h1', { tabindex: '-1' }, name), prose(s.description), make('h2', null, 'Fields'), fields(s),
    users.length > 0 && [make('h2', null, 'Used by'), make('ul', null, users.slice(0, 60).map((e) => make('li', null, make('a', { href: `#${e.id}` }, e.title))),
      users.length > 60 && make('li', null, `and ${users.length - 60} more`))],
  ].flat();
}

function showIntroduction() {
  return [
    make('p', { class: 'kind' }, `Version ${doc.info.version} of the contract · OpenAPI ${doc.openapi}`),
    make('h1', { tabindex: '-1' }, 'chasqui API'), prose(doc.info.description),
    make('h2', null, 'A key for the examples'),
    make('p', null, 'The curl commands read the key from the environment; this page never asks for it.'), block("export CHASQUI_KEY='…'", 'the command that sets the key'),
    make('h2', null, 'Parts'),
    make('ul', { class: 'fields' }, doc.tags.filter((tag) => entries.some((e) => e.group === tag.name)).map((tag) => make('li', null,
      make('a', { href: `#${entries.find((e) => e.group === tag.name).id}` }, tag.name), prose(tag.description)))),
  ].flat();
}

// collect lists what there is, in the document's order of tags.
function collect() {
  for (const tag of doc.tags) {
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const [method, o] of Object.entries(item)) {
        if (o.tags?.[0] !== tag.name) continue;
        entries.push({ id: o.operationId, verb: method, title: o.summary, group: tag.name, value: o, show: () => showOperation(method, path, o),
          text: `${method} ${path} ${path.replace(/\W+/g, ' ')} ${o.operationId} ${o.summary} ${tag.name} ${(o.parameters ?? []).map((p) => p.name).join(' ')}`, more: o.description });
      }
    }
  }
  for (const [name, { post }] of Object.entries(doc.webhooks)) {
    entries.push({ id: post.operationId, verb: 'event', title: name, group: 'Events sent to webhooks', value: post, show: () => showOperation('post', name, post, true),
      text: `event ${name} ${post.summary}`, more: '' });
  }
  for (const [name, schema] of Object.entries(doc.components.schemas)) {
    entries.push({ id: `schemas/${name}`, verb: 'schema', title: name, group: 'Schemas', show: () => showSchema(name),
      text: `schema ${name} ${Object.keys(schema.properties ?? {}).join(' ')}`, more: schema.description });
  }
  for (const e of entries) {
    e.text = e.text.toLowerCase();
    e.more = (e.more ?? '').toLowerCase();
    e.link = make('a', { href: `#${e.id}` }, make('span', { class: `verb ${e.verb}` }, e.verb === 'delete' ? 'DEL' : e.verb.toUpperCase()), e.title);
    e.item = make('li', null, e.link);
  }
}

const groups = new Map();

function list() {
  for (const e of entries) {
    if (!groups.has(e.group)) {
      const ul = make('ul');
      groups.set(e.group, { ul, fold: make('details', null, make('summary', null, e.group), ul) });
      $('list').append(groups.get(e.group).fold);
    }
    groups.get(e.group).ul.append(e.item);
  }
}

// search shows what has every word: in its name, path, parameters or fields, or else in its description.
function search() {
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  const by = (where) => new Set(entries.filter((e) => words.every((word) => where(e).includes(word))));
  let hits = by((e) => e.text);
  if (hits.size === 0) hits = by((e) => `${e.text} ${e.more}`);
  for (const e of entries) e.item.hidden = !hits.has(e);
  for (const { ul, fold } of groups.values()) {
    fold.hidden = ![...ul.children].some((item) => !item.hidden);
    if (words.length > 0) fold.open = true;
  }
  $('found').textContent = words.length === 0 ? '' : `${hits.size} found`;
  if (words.length === 0) openCurrent();
}

function current() {
  return entries.find((e) => e.id === decodeURIComponent(location.hash.slice(1)));
}

function openCurrent() {
  const e = current();
  for (const [name, { fold }] of groups) fold.open = name === (e?.group ?? doc.tags[0].name);
}

function contents(open) {
  $('side').classList.toggle('open', open);
  $('contents').setAttribute('aria-expanded', String(open));
}

function show(moved) {
  if (location.hash === '#main') return; // the skip link's
  const e = current();
  for (const other of entries) other.link.removeAttribute('aria-current');
  $('main').replaceChildren(...(e ? e.show() : showIntroduction()).filter(Boolean));
  document.title = e ? `${e.title} · chasqui API` : 'chasqui API';
  contents(false);
  if (e) {
    e.link.setAttribute('aria-current', 'page');
    groups.get(e.group).fold.open = true;
    e.link.scrollIntoView({ block: 'nearest' });
  }
  if (!moved) return;
  scrollTo(0, 0);
  $('main').querySelector('h1').focus({ preventScroll: true });
}

$('contents').onclick = () => contents(!$('side').classList.contains('open'));
$('search').oninput = search;

addEventListener('hashchange', () => { if (doc) show(true); });
addEventListener('keydown', (e) => {
  const typing = document.activeElement === $('search');
  if (!typing && !e.ctrlKey && !e.metaKey && !e.altKey && e.key === '/' || (e.ctrlKey || e.metaKey) && e.key === 'k') {
    e.preventDefault();
    contents(true);
    $('search').focus();
    $('search').select();
    return;
  }
  const links = [...$('list').querySelectorAll('a')].filter((link) => link.checkVisibility());
  const at = links.indexOf(document.activeElement);
  if (typing && e.key === 'Escape') {
    $('search').value = '';
    search();
  } else if (typing && e.key === 'Enter') {
    links[0]?.click();
  } else if (e.key === 'ArrowDown' && (typing || at >= 0) && links[at + 1]) {
    e.preventDefault();
    links[at + 1].focus();
  } else if (e.key === 'ArrowUp' && at >= 0) {
    e.preventDefault();
    (links[at - 1] ?? $('search')).focus();
  }
});

fetch('/openapi.json').then(async (answer) => {
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  doc = await answer.json();
  collect();
  list();
  openCurrent();
  show(false);
  search();
}).catch((e) => { $('main').replaceChildren(make('p', { role: 'alert' }, `The document cannot be shown: ${e.message}. `, make('a', { href: '/openapi.yaml' }, 'openapi.yaml'))); });
