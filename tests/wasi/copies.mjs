// Copies the memory of a WASI instance, as a snapshot does. Then it starts two instances with
// that memory, and counts the UUIDs that both make.
import assert from 'node:assert';
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

const PAGE = 65_536;
const COUNT = 500;
const program = await WebAssembly.compile(await readFile(process.argv[2]));

// Starts an instance, with the memory of a snapshot if there is one.
async function start(snapshot = new Uint8Array()) {
  const wasi = new WASI({ version: 'preview1' });
  const instance = await WebAssembly.instantiate(program, wasi.getImportObject());
  wasi.initialize(instance);
  const { memory } = instance.exports;
  memory.grow(Math.max(0, (snapshot.length - memory.buffer.byteLength) / PAGE));
  new Uint8Array(memory.buffer).set(snapshot);
  return instance.exports;
}

// Returns the UUIDs that an instance makes by the function called `maker`.
function make(instance, maker) {
  const address = instance[maker](COUNT);
  const bytes = Buffer.from(instance.memory.buffer, address, COUNT * 16).toString('hex');
  return bytes.match(/.{32}/g);
}

// Returns how many UUIDs two copies of an instance both make.
async function repeated(maker, reseeds) {
  const original = await start();
  original[maker](1);
  const snapshot = new Uint8Array(original.memory.buffer);
  const all = [];
  for (let copy = 0; copy < 2; copy++) {
    const instance = await start(snapshot);
    if (reseeds) instance.reseed();
    all.push(...make(instance, maker));
  }
  return all.length - new Set(all).size;
}

// The pool has 251 UUIDs, of which one was made before the snapshot.
assert.equal(await repeated('new_v4', false), 250);
assert.equal(await repeated('new_v4', true), 0);
console.log(`two copies repeat 250 of ${COUNT} UUIDs, and none after reseed()`);
assert.equal(await repeated('peer', true), COUNT);
console.log(`the control repeats ${COUNT}, as it must`);
