/*
 * features/store_script.c - see store_script.h.
 *
 * Redis functions do not roll back: each checks everything (owner's token, expected offset, type of
 * every key) before its first write. KEYS[1] is always the partition's meta hash; all keys of a call
 * share its hash tag. Offsets and tokens are compared as decimal text: Lua's numbers end at 2^53.
 */
#include "features/store_script.h"

const char fr_store_script[] =
    "#!lua name=freshet\n"
    "local function fenced() return redis.error_reply('FENCED another owner, or an older state') end\n"
    "local function is_string(key)\n"
    "  local t = redis.call('TYPE', key).ok\n"
    "  return t == 'string' or t == 'none'\n"
    "end\n"
    "local function wrong(key) return redis.error_reply('WRONGTYPE unexpected type of key ' .. key) end\n"

    /* () -> version */
    "redis.register_function{function_name='freshet_version', flags={'no-writes'},\n"
    "  callback=function(keys, args) return '" FR_STORE_SCRIPT_VERSION "' end}\n"

    /* meta; first, parts: set R and V if nobody has -> parts as stored */
    "redis.register_function{function_name='freshet_init', callback=function(keys, args)\n"
    "  local t = redis.call('TYPE', keys[1]).ok\n"
    "  if t ~= 'hash' and t ~= 'none' then return wrong(keys[1]) end\n"
    "  local have = redis.call('HGET', keys[1], 'parts')\n"
    "  if have then return have end\n"
    "  redis.call('HSET', keys[1], 'R', args[1], 'V', args[1], 'parts', args[2], 'token', '0')\n"
    "  return args[2]\n"
    "end}\n"

    /* meta; token -> previous token, R, V, parts, aux */
    "redis.register_function{function_name='freshet_take', callback=function(keys, args)\n"
    "  local m = redis.call('HMGET', keys[1], 'token', 'R', 'V', 'parts', 'aux')\n"
    "  if not m[2] or not m[3] or not m[4] then return redis.error_reply('NOMETA the group was not initialised') end\n"
    "  redis.call('HSET', keys[1], 'token', args[1])\n"
    "  return {m[1] or '0', m[2], m[3], m[4], m[5] or ''}\n"
    "end}\n"

    /* meta; token, R */
    "redis.register_function{function_name='freshet_check', flags={'no-writes'}, callback=function(keys, args)\n"
    "  local m = redis.call('HMGET', keys[1], 'token', 'R')\n"
    "  if m[1] ~= args[1] or m[2] ~= args[2] then return fenced() end\n"
    "  return redis.status_reply('OK')\n"
    "end}\n"

    /* meta, keys...; token, R -> values */
    "redis.register_function{function_name='freshet_read', flags={'no-writes'}, callback=function(keys, args)\n"
    "  local m = redis.call('HMGET', keys[1], 'token', 'R')\n"
    "  if m[1] ~= args[1] or m[2] ~= args[2] then return fenced() end\n"
    "  local out = {}\n"
    "  for i = 2, #keys, 500 do\n"
    "    local last = math.min(i + 499, #keys)\n"
    "    local got = redis.call('MGET', unpack(keys, i, last))\n"
    "    for k = 1, last - i + 1 do out[i - 2 + k] = got[k] end\n"
    "  end\n"
    "  return out\n"
    "end}\n"

    /* meta, keys...; token, R, new R, expire ms, has aux, aux, values... */
    "redis.register_function{function_name='freshet_commit', callback=function(keys, args)\n"
    "  local m = redis.call('HMGET', keys[1], 'token', 'R')\n"
    "  if m[1] ~= args[1] then return fenced() end\n"
    "  if m[2] == args[3] and args[2] ~= args[3] then return redis.status_reply('AGAIN') end\n"
    "  if m[2] ~= args[2] then return fenced() end\n"
    "  for i = 2, #keys do if not is_string(keys[i]) then return wrong(keys[i]) end end\n"
    "  if args[4] == '0' then\n"
    "    for i = 2, #keys do redis.call('SET', keys[i], args[i + 5]) end\n"
    "  else\n"
    "    for i = 2, #keys do redis.call('SET', keys[i], args[i + 5], 'PX', args[4]) end\n"
    "  end\n"
    "  if args[5] == '1' then redis.call('HSET', keys[1], 'R', args[3], 'aux', args[6])\n"
    "  else redis.call('HSET', keys[1], 'R', args[3]) end\n"
    "  return redis.status_reply('OK')\n"
    "end}\n"

    /* meta, items hash; token, V, new V, has aux, aux, id, row, id, row... */
    "redis.register_function{function_name='freshet_commit_items', callback=function(keys, args)\n"
    "  local m = redis.call('HMGET', keys[1], 'token', 'V', 'R')\n"
    "  if m[1] ~= args[1] then return fenced() end\n"
    "  if m[2] == args[3] and args[2] ~= args[3] then return redis.status_reply('AGAIN') end\n"
    "  if m[2] ~= args[2] then return fenced() end\n"
    "  if tonumber(args[3]) > tonumber(m[3]) then return redis.error_reply('BADV V may not pass R') end\n"
    "  local t = redis.call('TYPE', keys[2]).ok\n"
    "  if t ~= 'hash' and t ~= 'none' then return wrong(keys[2]) end\n"
    "  for i = 6, #args, 2 do redis.call('HSET', keys[2], args[i], args[i + 1]) end\n"
    "  if args[4] == '1' then redis.call('HSET', keys[1], 'V', args[3], 'aux', args[5])\n"
    "  else redis.call('HSET', keys[1], 'V', args[3]) end\n"
    "  return redis.status_reply('OK')\n"
    "end}\n"

    /* user record; [ms] -> field, value, ... with decay as of ms (default: the server's clock) */
    "redis.register_function{function_name='freshet_user', flags={'no-writes'}, callback=function(keys, args)\n"
    "  local raw = redis.call('GET', keys[1])\n"
    "  if not raw then return {} end\n"
    "  local ok, r = pcall(cmsgpack.unpack, raw)\n"
    "  if not ok or type(r) ~= 'table' or r.v ~= 1 then return redis.error_reply('CORRUPT not a user record of version 1') end\n"
    "  local now = tonumber(args[1])\n"
    "  if not now then local t = redis.call('TIME'); now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000) end\n"
    "  local out = {'events', tostring(r.n), 'first_ts', string.format('%.0f', r.f), 'last_ts', string.format('%.0f', r.l)}\n"
    "  local function add(k, v) out[#out + 1] = k; out[#out + 1] = v end\n"
    "  local h = #r.hl\n"
    "  for t, name in ipairs(r.ty) do\n"
    "    for k = 1, h do\n"
    "      local v = r.c[(t - 1) * h + k] * 2 ^ (-(now - r.L[k]) / r.hl[k])\n"
    "      add('count:' .. name .. ':' .. string.format('%.0f', r.hl[k]), string.format('%.17g', v))\n"
    "    end\n"
    "    if r.r[t] and r.r[t] ~= 0 then add('recency_ms:' .. name, string.format('%.0f', now - r.r[t])) end\n"
    "  end\n"
    "  local items = {}\n"
    "  for i = 1, #r.h, 3 do items[#items + 1] = r.h[i] end\n"
    "  add('history', cjson.encode(items))\n"
    "  return out\n"
    "end}\n";
