// Parses every lexicon of a folder with @atproto/lexicon, and validates records by them.
//
//   ATCOMMS_REFERENCE_PDS=target/reference-pds node tests/lexicons/check.mjs lexicons < records.jsonl
//
// The records come on stdin, one JSON object a line. On stdout, one JSON object a line: {"lexicons": how many were
// parsed}, then for each record {"nsid","ok"} and, where it was refused, {"error"}. A lexicon that does not parse ends it
// with exit code 1. The Rust test crates/lexicon/tests/reference.rs feeds it the instances that the Rust types make.

import { readFileSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

const installed = process.env.ATCOMMS_REFERENCE_PDS
const folder = process.argv[2]
if (!installed || !folder) {
  console.error('usage: ATCOMMS_REFERENCE_PDS=FOLDER node check.mjs LEXICONS < records.jsonl')
  process.exit(2)
}
const entry = join(resolve(installed), 'node_modules/@atproto/lexicon/dist/index.js')
const { Lexicons, jsonToLex, parseLexiconDoc } = await import(pathToFileURL(entry))

// The one lexicon that ours refer to; the PDS ships it compiled only.
const strongRef = {
  lexicon: 1,
  id: 'com.atproto.repo.strongRef',
  defs: {
    main: {
      type: 'object',
      required: ['uri', 'cid'],
      properties: { uri: { type: 'string', format: 'at-uri' }, cid: { type: 'string', format: 'cid' } },
    },
  },
}

const files = readdirSync(folder, { recursive: true }).filter((file) => file.endsWith('.json'))
const docs = files.sort().map((file) => {
  try {
    const doc = parseLexiconDoc(JSON.parse(readFileSync(join(folder, file), 'utf8')))
    if (file !== `${doc.id.replaceAll('.', '/')}.json`) throw new Error(`its id is ${doc.id}`)
    return doc
  } catch (error) {
    console.error(`${file}: ${error.message}`)
    process.exit(1)
  }
})
const lexicons = new Lexicons([strongRef, ...docs])
checkRefs(docs)
console.log(JSON.stringify({ lexicons: docs.length }))

for (const line of readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const record = jsonToLex(JSON.parse(line))
  const answer = { nsid: record.$type, ok: true }
  try {
    lexicons.assertValidRecord(record.$type, record)
  } catch (error) {
    answer.ok = false
    answer.error = error.message
  }
  console.log(JSON.stringify(answer))
}

// A reference to nothing is only noticed by a record that has the field: look at all of them here.
function checkRefs(json) {
  if (typeof json !== 'object' || json === null) return
  if (json.type === 'ref' && !lexicons.getDef(json.ref)) {
    console.error(`there is no ${json.ref}`)
    process.exit(1)
  }
  Object.values(json).forEach(checkRefs)
}
