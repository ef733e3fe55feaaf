// SPDX-License-Identifier: GPL-2.0-or-later
// The console of a seat: noVNC shows the screen and passes on keys and the pointer; around it are what a browser can add.
// The token stands behind the # of the address, which browsers send to nobody; here it goes into headers alone.
import RFB from './novnc/core/rfb.js';
import { charKeys, PASTE } from './keys.js';

const AGAIN_MS = 1000;          // until the next try to connect
const STATE_MS = 1000;          // between questions what is on the seat
const KEY_MS = 8;               // between keys that are typed: guests' queues are short
const at = id => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get('token') || '';

let rfb = null;                 // null: not connected
let socket = null;
let realSize = false;
let left = false;               // browsers keep a page that was left, and may show it again

function say(text) {
    at('said').textContent = text;
}

// ---- the connection ----

function showHelp(why) {
    at('why').textContent = why;
    at('like').textContent = `${location.origin}/#token=…`;
    at('help').hidden = false;
    at('screen').hidden = true;
    say('');
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
    }
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
    rfb = socket = null;
    delete document.body.dataset.connected;
    if (left) {
        return;
    }
    say('The connection to the daemon is lost; trying again …');
    setTimeout(begin, AGAIN_MS);
}

function connect() {
    socket = new WebSocket(`ws://${location.host}/console`, ['binary', `token.${token}`]);
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
            connect();
        } else {
            say('The daemon does not answer; trying again …');
            setTimeout(begin, AGAIN_MS);
        }
    } catch {
        showHelp(token ? 'The token of this address is wrong, or old: the daemon has another one now.'
                       : 'This address has no token.');
    }
}

// ---- guests ----

function guestButton(display) {
    const button = document.createElement('button');
    button.textContent = display.display;
    button.style.borderLeftColor = display.colour;
    button.className = display.focus ? 'focus' : '';
    button.disabled = !display.shown;
    button.title = display.shown ? (display.focus ? 'Has the keyboard' : 'Give it the keyboard') : 'Shows nothing now';
    button.addEventListener('click', () => {
        if (rfb && socket.readyState === WebSocket.OPEN) {
            socket.send(`focus ${display.display}`);
            rfb.focus();
        }
    });
    return button;
}

let shownGuests = '';

function showGuests(state) {
    const now = JSON.stringify(state.displays);
    if (now !== shownGuests) {
        shownGuests = now;
        at('guests').replaceChildren(...state.displays.map(guestButton));
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
    at('untyped').textContent = '';
    at('typing').showModal();
}

function nameUntyped() {
    const untyped = [...new Set(at('text').value)].filter(character => charKeys(character).length === 0);
    at('untyped').textContent = untyped.length ? `There is no key for: ${untyped.join(' ')}` : '';
}

function closePaste() {
    if (at('typing').returnValue === 'type') {
        type(at('text').value);
    }
    at('text').value = '';
    rfb?.focus();
}

function saveScreen() {
    const canvas = at('screen').querySelector('canvas');
    canvas?.toBlob(blob => {
        const link = document.createElement('a');
        link.href = URL.createObjectURL(blob);
        link.download = `${at('seat').textContent}.png`;
        link.click();
        URL.revokeObjectURL(link.href);
    });
}

at('real').addEventListener('click', () => { realSize = !realSize; fit(); rfb?.focus(); });
at('full').addEventListener('click', () => {
    (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).then(() => rfb?.focus());
});
at('paste').addEventListener('click', openPaste);
at('text').addEventListener('input', nameUntyped);
at('typing').addEventListener('close', closePaste);
at('copied').addEventListener('click', () => { press(PASTE); rfb?.focus(); });
at('shot').addEventListener('click', saveScreen);
window.addEventListener('pagehide', () => { left = true; rfb?.disconnect(); });
window.addEventListener('pageshow', event => { left = false; if (event.persisted) { begin(); } });
window.addEventListener('hashchange', () => location.reload());

begin();
watchGuests();
