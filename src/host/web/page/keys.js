// SPDX-License-Identifier: GPL-2.0-or-later
// Which keys of a keyboard with US layout make a character. Guests get keys, not characters.
const SHIFT = { keysym: 0xffe1, code: 'ShiftLeft' };
const ROWS = [
    ['`~', 'Backquote'], ['1!', 'Digit1'], ['2@', 'Digit2'], ['3#', 'Digit3'], ['4$', 'Digit4'], ['5%', 'Digit5'],
    ['6^', 'Digit6'], ['7&', 'Digit7'], ['8*', 'Digit8'], ['9(', 'Digit9'], ['0)', 'Digit0'], ['-_', 'Minus'],
    ['=+', 'Equal'], ['[{', 'BracketLeft'], [']}', 'BracketRight'], ['\\|', 'Backslash'], [';:', 'Semicolon'],
    ['\'"', 'Quote'], [',<', 'Comma'], ['.>', 'Period'], ['/?', 'Slash'], ['  ', 'Space'],
    ...[...'abcdefghijklmnopqrstuvwxyz'].map(letter => [letter + letter.toUpperCase(), `Key${letter.toUpperCase()}`]),
];
const OTHERS = { '\n': { keysym: 0xff0d, code: 'Enter' }, '\t': { keysym: 0xff09, code: 'Tab' } };

// The seat's own: paste what a viewer has copied, all windows side by side, and the window's size.
const own = (keysym, code) => [{ keysym: 0xffe3, code: 'ControlLeft' }, { keysym: 0xffe9, code: 'AltLeft' }, { keysym, code }];
export const PASTE = own(0x76, 'KeyV');
export const OVERVIEW = own(0x20, 'Space');
export const FIT = own(0x30, 'Digit0');

// The keys that go down, in this order; none: there is no key for it.
export function charKeys(character) {
    if (OTHERS[character]) {
        return [OTHERS[character]];
    }
    for (const [characters, code] of ROWS) {
        const level = characters.indexOf(character);
        if (level >= 0) {
            const key = { keysym: character.charCodeAt(0), code };
            return level === 0 ? [key] : [SHIFT, key];
        }
    }
    return [];
}
