// Writes loose.json: the results of JavaScript for rules of a Webitel hook. Run `node loose.mjs` in this directory. The tests read
// only the output.
//
// A case has the JSON text of a member of an event's data (omitted if the member is missing), the JSON text of the rule's stored
// value, and the operations that hold for them.

import { writeFileSync } from 'node:fs';

// Each of these values is compared with each of them.
const VALUES = [
  'null', 'true', 'false', '0', '1', '-1', '1.5', '""', '" "', '"0"', '"1"', '"null"', '"true"', '"a"', '"9"', '"10"', '[]', '[1]', '{}',
];

// Pairs of a member and a stored value. `undefined` is a missing member.
const PAIRS = [
  // Numbers from text.
  ['" \\t\\n\\r\\u000b\\f\\u00a0\\ufeff12\\u2028\\u2029\\u3000"', '12'], ['"\\u008512"', '12'], ['"\\u180e12"', '12'], ['"0x1F"', '31'],
  ['"0X1f"', '31'], ['"-0x1F"', '-31'], ['"+0x1F"', '31'], ['"0x"', '0'], ['"0xg"', '0'], ['"0b101"', '5'], ['"0B2"', '2'],
  ['"0o17"', '15'], ['"0O8"', '8'], ['"017"', '17'], ['"1e3"', '1000'], ['"1E+3"', '1000'], ['"1e"', '1'], ['"1e-2"', '0.01'],
  ['".5"', '0.5'], ['"5."', '5'], ['"."', '0'], ['"5.e1"', '50'], ['".e1"', '0'], ['"+5"', '5'], ['"--5"', '-5'], ['"- 5"', '-5'],
  ['"1 2"', '12'], ['"1_000"', '1000'], ['"1,5"', '1.5'], ['"12px"', '12'], ['"Infinity"', '1e400'], ['"-Infinity"', '-1e400'],
  ['"+Infinity"', '1e400'], ['"infinity"', '1e400'], ['"inf"', '1e400'], ['"NaN"', '1'], ['"nan"', '1'], ['"1n"', '1'],
  ['"0x20000000000001"', '9007199254740992'], ['"0x20000000000002"', '9007199254740994'], ['"0x20000000000003"', '9007199254740996'],
  ['"0x200000000000010000000001"', '166153499473114503217963204608'], ['"0x200000000000010000000000"', '166153499473114484112975882240'],
  ['"0b' + '1'.repeat(60) + '"', '1152921504606846975'], ['"0x' + 'f'.repeat(300) + '"', '1e400'], ['"\\ud8001"', '1'],
  ['"9007199254740993"', '9007199254740992'], ['9007199254740993', '9007199254740992'], ['"1e400"', '1e400'], ['"1e-400"', '0'],
  ['"-0"', '0'], ['-0', '0'], ['0.1', '"0.10"'], ['1e400', '"Infinity"'], ['0.30000000000000004', '"0.3"'],
  // Strings are compared by code unit, without normalization.
  ['"abc"', '"abd"'], ['"B"', '"a"'], ['"é"', '"z"'], ['"\\u00e9"', '"é"'], ['"e\\u0301"', '"é"'], ['"~"', '"～"'], ['"～"', '"𝄞"'],
  ['"\\ud800"', '"\\ud801"'], ['"\\ud834\\udd1e"', '"𝄞"'], ['"a"', '"a "'], ['"2026-01-01"', '"2026-02-01"'], ['"100"', '"99"'],
  ['100', '"99"'], ['"5"', '5'], ['5', '"5.0"'], ['"5"', '"5.0"'], ['"a\\"\\\\/\\b"', '"a\\u0022\\u005c\\u002f\\u0008"'],
  // Missing, null, and values that are stored as null.
  ['undefined', 'null'], ['undefined', '"null"'], ['undefined', '0'], ['undefined', '""'], ['undefined', 'false'], ['undefined', '-0'],
  ['undefined', '0.0'], ['undefined', '1'], ['undefined', '-1'], ['undefined', '"a"'], ['undefined', '"undefined"'], ['undefined', '[]'],
  ['undefined', '{}'], ['undefined', 'true'], ['"undefined"', '"null"'], ['"undefined"', '"undefined"'], ['null', '1e-400'],
  ['"null"', '["null"]'], ['"NULL"', '"null"'], ['0', '-1'], ['-1', '0'], ['false', '"false"'], ['true', '"1"'], ['true', '2'],
  // Arrays and objects.
  ['[]', '"0"'], ['[]', '"x"'], ['[[]]', '1'], ['[1,2]', '"1,2"'], ['"1,2"', '[1,2]'], ['[1,2]', '[1,2]'], ['[null]', '"x"'], ['[[5]]', '5'],
  ['["5"]', '5'], ['[5]', '"5"'], ['[null,null]', '","'], ['[[],[[]]]', '","'], ['[true,false]', '"true,false"'], ['[1.0,2.50]', '"1,2.5"'],
  ['[1e21]', '"1e+21"'], ['[123456789012345680000]', '"123456789012345680000"'], ['[1e-7]', '"1e-7"'], ['[0.000001]', '"0.000001"'],
  ['[-0]', '"0"'], ['[1e400,-1e400]', '"Infinity,-Infinity"'], ['[1.7976931348623157e308]', '"1.7976931348623157e+308"'],
  ['[5e-324]', '"5e-324"'], ['[-123.456]', '"-123.456"'], ['[100]', '"100"'], ['[0.1]', '".1"'], ['[9007199254740993]', '"9007199254740992"'],
  ['["a]","b\\""]', '"a],b\\""'], ['[{"a":[1]},2]', '"[object Object],2"'], ['{}', '"[object Object]"'], ['{"a":1}', '"[object Object]"'],
  ['"[object Object]"', '{"b":2}'], ['{}', '{}'], ['{}', '1'], ['[1]', 'true'], ['[0]', '"a"'], ['[[1]]', 'true'], ['{"length":1}', '1'],
  ['{"toString":"x"}', '"x"'], ['{"toString":1}', '1'], ['{"toString":1}', 'null'], ['{"toString":1}', '{}'], ['[{"toString":1}]', '"x"'],
  ['"x"', '{"toString":1}'], ['{"to\\u0053tring":1}', '"x"'], ['{"valueOf":1}', '"[object Object]"'], ['{"valueOf":1}', '1'],
  ['{"a":{"toString":1}}', '"[object Object]"'], ['{"toString":1,"valueOf":2}', 'true'],
  // Patterns.
  ['"abc"', '"b"'], ['"abc"', '"^b"'], ['"abc"', '"/^A/"'], ['"abc"', '"/^A/i"'], ['"a\\nb"', '"/^b$/"'], ['"a\\nb"', '"/^b$/m"'],
  ['"A\\nB"', '"/^b$/im"'], ['"abab"', '"/ab/g"'], ['"abab"', '"/b/y"'], ['"abab"', '"/ab/y"'], ['"ABAB"', '"/ab/giy"'],
  ['"abc"', '"/abc/s"'], ['"/abc/s"', '"/abc/s"'], ['"abc"', '"/abc/ii"'], ['"abc"', '"/abc/u"'], ['"a/b"', '"/a/b/"'], ['"a/b"', '"/A/b/i"'],
  ['"a/b"', '"a/b"'], ['"anything"', '"//"'], ['"anything"', '"//i"'], ['"a/i"', '"/"'], ['"a/i"', '"/i"'], ['"abc"', '"("'], ['"("', '"/(/"'],
  ['"abc"', '"[z-a]"'], ['"abc"', '"*"'], ['"abc"', '"a**"'], ['"abc"', '"(?<n>a"'], ['"abc"', '"\\\\"'], ['"a\\nb"', '"/a\\nb/"'],
  ['"/a\\nb/"', '"/a\\nb/"'], ['"4412345"', '"^\\\\+?\\\\d{3,}$"'], ['"+4412345"', '"^\\\\+?\\\\d{3,}$"'], ['4412345', '"^\\\\d+$"'],
  ['4412345.0', '"^\\\\d+$"'], ['1.50', '"^1\\\\.5$"'], ['1e21', '"^1e\\\\+21$"'], ['true', '"^tr"'], ['false', '"^false$"'], ['null', '"^null$"'],
  ['undefined', '"^undefined$"'], ['undefined', '"."'], ['undefined', '"^$"'], ['""', '"^$"'], ['""', '"."'], ['[1,2]', '"^1,2$"'],
  ['[]', '"^$"'], ['{}', '"^\\\\[object Object\\\\]$"'], ['{"toString":1}', '"."'], ['"abc"', '1'], ['1', '1'], ['"abc"', '["abc"]'],
  ['"abc"', '""'], ['"null"', '"null"'], ['"foobar"', '"foo(?=bar)"'], ['"foobaz"', '"foo(?!bar)"'], ['"foobar"', '"foo(?!bar)"'],
  ['"$5"', '"(?<=\\\\$)5"'], ['"x5"', '"(?<!\\\\$)5"'], ['"abab"', '"^(ab)\\\\1$"'], ['"abba"', '"^(ab)\\\\1$"'], ['"xx"', '"(?<c>x)\\\\k<c>"'],
  ['"é"', '"^.$"'], ['"😀"', '"^.$"'], ['"😀"', '"^..$"'], ['"😀"', '"^[😀]$"'], ['"😀"', '"\\\\ud83d"'], ['"É"', '"/é/i"'], ['"\\u212a"', '"/k/i"'], ['"İ"', '"/i/i"'], ['"Σ"', '"/ς/i"'], 
  ['"a b"', '"a\\\\sb"'], ['"a\\u00a0b"', '"a\\\\sb"'], ['"a\\ufeffb"', '"a\\\\sb"'], ['"é"', '"\\\\w"'], ['"٣"', '"\\\\d"'],
  ['"a{"', '"a{"'], ['"a{1"', '"a{1"'], ['"]"', '"]"'], ['"}"', '"}"'], ['"a"', '"\\\\a"'], ['"\\u0001"', '"\\\\1"'], ['"8"', '"\\\\8"'], ['"u0061"', '"\\\\u{61}"'],
  ['"a"', '"\\\\u0061"'], ['"a"', '"\\\\x61"'], ['"x6"', '"\\\\x6"'], ['"\\n"', '"^.$"'], ['"\\n"', '"^[^]$"'], ['"abc"', '"[]"'], ['"-"', '"[\\\\w-x]"'],
  ['"aaa"', '"^a{2}$"'], ['"aaa"', '"^a{2,}$"'], ['"aaa"', '"^a{2,1}$"'], ['"aab"', '"^a+?b"'], ['"ab"', '"a|"'], ['"cab"', '"\\\\bcab\\\\b"'],
  ['"xcab"', '"\\\\bcab"'], ['"xcab"', '"\\\\Bcab"'], ['"p{L}"', '"\\\\p{L}"'], ['"éa"', '"(?:é|a)(?:a)$"'], ['"aaaaaaaaaaaaaaaa"', '"^(a|aa)+$"'],
  ['"CUSTOM"', '"/^(CUSTOM|CHANNEL_.*)$/"'], ['"sip:100@demo.example"', '"/^sip:(\\\\d+)@demo\\\\.example$/i"'],
];

const OPERATIONS = {
  '==': (member, stored) => member == (stored === 'null' ? undefined : stored),
  '!=': (member, stored) => member != (stored === 'null' ? undefined : stored),
  '<': (member, stored) => member < stored,
  '>': (member, stored) => member > stored,
  '<=': (member, stored) => member <= stored,
  '>=': (member, stored) => member >= stored,
  reg: (member, stored) => typeof stored === 'string' && expression(stored).test(member),
};

/** Parses `/pattern/flags` with flags from gimy, or a pattern without flags. */
function expression(stored) {
  const parts = /^\/(?<pattern>.*)\/(?<flags>[gimy]*)$/.exec(stored);
  return parts ? new RegExp(parts.groups.pattern, parts.groups.flags) : new RegExp(stored);
}

function holds(operation, member, stored) {
  try {
    return operation(member, stored);
  } catch {
    return false;
  }
}

const pairs = [...VALUES.flatMap((member) => VALUES.map((stored) => [member, stored])), ...PAIRS];
const lines = pairs.map(([member, stored]) => {
  const left = member === 'undefined' ? undefined : JSON.parse(member);
  const right = JSON.parse(stored) || null;
  const names = Object.keys(OPERATIONS).filter((name) => holds(OPERATIONS[name], left, right));
  const shown = member === 'undefined' ? '' : `"member": ${member}, `;
  return `  {${shown}"stored": ${stored}, "holds": ${JSON.stringify(names)}}`;
});
writeFileSync(new URL('loose.json', import.meta.url), `[\n${lines.join(',\n')}\n]\n`);
