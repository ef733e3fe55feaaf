// SPDX-License-Identifier: GPL-2.0-or-later
// The console of a seat: noVNC shows the screen and passes on keys and the pointer; around it are what a browser can add.
// With ?guest=NAME or ?guest=NAME/DISPLAY it is that of one guest alone, whatever the seat shows.
// The token stands behind the # of the address, which browsers send to nobody; here it goes into headers alone.
import RFB from './novnc/core/rfb.js';
import { charKeys, FIT, OVERVIEW, PASTE } from './keys.js';

const AGAIN_MS = 1000;          // until the next try to connect
const STATE_MS = 1000;          // between questions what is on the seat
const KEY_MS = 8;               // between keys that are typed: guests' queues are short
const at = id => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get('token') || '';
const wanted = new URLSearchParams(location.search).get('guest') || '';

let rfb = null;                 // null: not connected
let socket = null;
let realSize = false;
let follow = false;             // the guest is asked for the page's size
let guest = '';                 // the display that is seen alone; '': all of the seat
let left = false;               // browsers keep a page that was left, and may show it again

function say(text) {
    at('said').textContent = text;
}

// ---- the connection ----

function showHelp(why) {
    at('why').textContent = why;
    at('like').textContent = `${location.origin}/#token=…`;
    at('help').hidden = false;
    at('absent').hidden = true;
    at('screen').hidden = true;
    say('');
}

let shownNames = null;

// The guest of the address is looked for until it is there: it may come.
function showAbsent(state) {
    const names = ['', ...state.displays.map(display => display.display)];
    at('absent').hidden = false;
    at('screen').hidden = true;
    if (names.join() === shownNames) {
        return;
    }
    shownNames = names.join();
    at('absentTitle').textContent = `There is no guest ${wanted} on the seat ${state.seat}`;
    at('present').replaceChildren(...names.map(name => {
        const item = document.createElement('li'), link = document.createElement('a');
        link.textContent = name || 'the whole seat';
        link.href = addressOf(name);
        item.append(link);
        return item;
    }));
}

// Resolves to what is on the seat, or null: the daemon is not there. Throws when the token is wrong.
async function askState() {
    let answer;
    try {
        answer = await fetch('state', { headers: { Authorization: `Bearer ${token}` }, cache: 'no-store' });
    } catch {
        return null;
    }
    if (answer.status === 403) {
        throw new Error('wrong token');
    }
    return answer.ok ? answer.json() : null;
}

function fit() {
    if (rfb) {
        rfb.scaleViewport = !realSize;
        rfb.clipViewport = false;
        rfb.resizeSession = follow;
    }
    at('follow').setAttribute('aria-pressed', follow);
    at('real').textContent = realSize ? 'Fit window' : 'Real size';
}

function connected(name) {
    at('seat').textContent = name;
    document.title = `${name} – Viaduct`;
    say('');
    document.body.dataset.connected = 'yes';
    rfb.focus();
}

function disconnected() {
    const before = 'connected' in document.body.dataset;
    rfb = socket = null;
    delete document.body.dataset.connected;
    if (left) {
        return;
    }
    say(before ? 'The connection to the daemon is lost; trying again …' : 'The daemon does not let this page in; trying again …');
    setTimeout(begin, AGAIN_MS);
}

function connect() {
    socket = new WebSocket(`ws://${location.host}/console${guest ? `/${guest}` : ''}`, ['binary', `token.${token}`]);
    rfb = new RFB(at('screen'), socket, { shared: true });
    let name = '';
    rfb.addEventListener('desktopname', event => { name = event.detail.name; });
    rfb.addEventListener('connect', () => connected(name));
    rfb.addEventListener('disconnect', disconnected);
    fit();
}

async function begin() {
    try {
        const state = await askState();
        if (state) {
            showGuests(state);
        }
        const why = whyNot(state);
        if (!why) {
            connect();
        } else {
            say(`${why}; trying again …`);
            setTimeout(begin, AGAIN_MS);
        }
    } catch {
        showHelp(token ? 'The token of this address is wrong, or old: the daemon has another one now.'
                       : 'This address has no token.');
    }
}

// ---- guests ----

const STATES = { gone: 'its VMM is not connected', dark: 'shows nothing now', paused: 'is paused', running: '' };

function addressOf(name) {
    return `${location.pathname}${name ? `?guest=${name}` : ''}${location.hash}`;
}

function findWanted(state) {
    return state.displays.find(display => display.display === wanted || display.display.startsWith(`${wanted}/`));
}

// Returns why the screen cannot be opened now, or null.
function whyNot(state) {
    if (!state) {
        return 'The daemon does not answer';
    }
    const display = wanted ? findWanted(state) : state;
    if (!display) {
        showAbsent(state);
        return `There is no guest ${wanted}`;
    }
    at('absent').hidden = true;
    at('screen').hidden = false;
    guest = wanted ? display.display : '';
    return display.viewers >= state.viewers_max ? 'There are as many viewers as there may be' : null;
}

// One that is seen alone has no say in who has the keyboard of the seat: other guests are gone to.
function chooseGuest(display) {
    if (wanted) {
        location.href = addressOf(display.display);
    } else if (rfb && socket.readyState === WebSocket.OPEN) {
        socket.send(`focus ${display.display}`);
        rfb.focus();
    }
}

function titleOf(display) {
    if (wanted) {
        return display.display === guest ? 'This is what you see and type into' : 'See this guest alone';
    }
    return display.shown ? (display.focus ? 'Has the keyboard' : 'Give it the keyboard') : STATES[display.state];
}

function guestButton(display) {
    const button = document.createElement('button'), state = document.createElement('small');
    button.dataset.display = display.display;
    button.style.borderLeftColor = display.colour;
    button.className = display.focus ? 'focus' : '';
    button.disabled = !wanted && !display.shown;
    button.title = titleOf(display);
    state.textContent = [display.state, ...(display.focus ? ['keyboard'] : []),
                         ...(display.viewers ? [`${display.viewers} alone`] : [])].join(', ');
    button.append(display.display, ' ', state);
    button.addEventListener('click', () => chooseGuest(display));
    return button;
}

let shownGuests = '';

function showList(state) {
    const focused = document.activeElement?.dataset.display;
    at('guests').replaceChildren(...state.displays.map(guestButton));
    at('view').replaceChildren(new Option(`Whole seat ${state.seat}`, ''),
                               ...state.displays.map(display => new Option(display.display, display.display)));
    at('view').value = wanted ? findWanted(state)?.display ?? '' : '';
    at('guests').querySelector(`[data-display="${focused}"]`)?.focus();
}

function showGuests(state) {
    const now = JSON.stringify(state.displays), seen = wanted && findWanted(state);
    if (now !== shownGuests) {
        shownGuests = now;
        showList(state);
    }
    if (rfb && seen) {
        say(STATES[seen.state] && `${seen.display} ${STATES[seen.state]}`);
    }
}

async function watchGuests() {
    if (rfb && !document.hidden) {
        const state = await askState().catch(() => null);
        if (state) {
            showGuests(state);
        }
    }
    setTimeout(watchGuests, STATE_MS);
}

// ---- what the buttons do ----

function pause() {
    return new Promise(done => setTimeout(done, KEY_MS));
}

// Down in their order, and up again from the last.
async function press(keys) {
    for (const key of keys) {
        rfb?.sendKey(key.keysym, key.code, true);
        await pause();
    }
    for (const key of [...keys].reverse()) {
        rfb?.sendKey(key.keysym, key.code, false);
        await pause();
    }
}

async function type(text) {
    for (const character of text) {
        await press(charKeys(character));
    }
}

function openPaste() {
    at('text').value = '';
    nameUntyped();
    at('typing').showModal();
}

function nameUntyped() {
    const characters = [...new Set(at('text').value)];
    const untyped = characters.filter(character => charKeys(character).length === 0);
    at('untyped').textContent = untyped.length ? `There is no key for: ${untyped.join(' ')}` : '';
    at('keep').disabled = characters.length === 0;
}

function closePaste() {
    if (at('typing').returnValue === 'type') {
        type(at('text').value);
    } else if (at('typing').returnValue === 'keep') {
        rfb?.clipboardPasteFrom(at('text').value);
    }
    at('text').value = at('typing').returnValue = '';
    rfb?.focus();
}

function saveScreen() {
    const canvas = at('screen').querySelector('canvas');
    canvas?.toBlob(blob => {
        const link = document.createElement('a');
        link.href = URL.createObjectURL(blob);
        link.download = `${at('seat').textContent.replaceAll('/', '-')}.png`;
        link.click();
        URL.revokeObjectURL(link.href);
    });
}

function pressOwn(keys) {
    press(keys);
    rfb?.focus();
}

// ---- the bar, by keys: all but these are the guest's while it has the page's focus ----

let barWanted = false;

function hearBarKey(event) {
    if (event.code !== 'KeyM' || !event.ctrlKey || !event.altKey) {
        return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    barWanted = event.type === 'keydown' || barWanted;
}

// When the keys are up again, so that the guest hears of that.
function goToBar(event) {
    if (barWanted && !event.ctrlKey && !event.altKey) {
        barWanted = false;
        setTimeout(() => at('view').focus());
    }
}

window.addEventListener('keydown', hearBarKey, true);
window.addEventListener('keyup', event => { hearBarKey(event); goToBar(event); }, true);
document.querySelector('header').addEventListener('keydown', event => {
    if (event.key === 'Escape') {
        rfb?.focus();
    }
});

// ---- what happens ----

if (wanted) {
    document.body.dataset.guest = wanted;
}
at('view').addEventListener('change', () => { location.href = addressOf(at('view').value); });
at('overview').addEventListener('click', () => pressOwn(OVERVIEW));
at('fit').addEventListener('click', () => pressOwn(FIT));
at('follow').addEventListener('click', () => { follow = !follow; fit(); rfb?.focus(); });
at('real').addEventListener('click', () => { realSize = !realSize; fit(); rfb?.focus(); });
at('full').addEventListener('click', () => {
    (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).then(() => rfb?.focus());
});
at('paste').addEventListener('click', openPaste);
at('text').addEventListener('input', nameUntyped);
at('typing').addEventListener('close', closePaste);
at('copied').addEventListener('click', () => pressOwn(PASTE));
at('shot').addEventListener('click', saveScreen);
window.addEventListener('pagehide', () => { left = true; rfb?.disconnect(); });
window.addEventListener('pageshow', event => { left = false; if (event.persisted) { begin(); } });
window.addEventListener('hashchange', () => location.reload());

begin();
watchGuests();
