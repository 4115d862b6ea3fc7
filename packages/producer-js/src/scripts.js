// `make docs` writes this from producer/lua.
const PLACES = `local function give_places(P,key,concurrency,score,moment)
local allowed,waiting=P..':rl:'..key..':allowed',P..':rl:'..key..':rate_limited'
local given=0
while redis.call('ZCARD',allowed)<concurrency do
local first=redis.call('ZRANGE',waiting,0,0)[1]
if not first then break end
local other=P..':job:'..first
local origin,status,front=unpack(redis.call('HMGET',other,'origin','status','enqueue_at_front'))
if origin and status=='rate_limited' then
local list=P..':queue:'..origin
redis.call(front=='1' and 'LPUSH' or 'RPUSH',list,first)
local well,problem=pcall(function()
redis.call('ZADD',allowed,score,first)
redis.call('HSET',other,'status','queued','enqueued_at',moment)
redis.call('ZREM',waiting,first)
end)
if not well then
redis.pcall('LREM',list,front=='1' and 1 or -1,first)
redis.pcall('ZREM',allowed,first)
redis.pcall('HSET',other,'status','rate_limited')
error(problem,0)
end
given=given+1
else
redis.call('ZREM',waiting,first)
end
end
return given
end
`;
export const ENQUEUE = PLACES + `local call=redis.call
local P,token,moment,freshness,limit,window=unpack(ARGV,1,6)
local cached=false
if limit~='' then
local count=call('INCR',KEYS[3])
if count==1 then call('EXPIRE',KEYS[3],window)end
if count>tonumber(limit)then return{'limited',false,call('TTL',KEYS[3])}end
end
if freshness~='' then
cached=call('GET',KEYS[2])
if cached and call('TTL',KEYS[2])>=tonumber(freshness)then return{'fresh',cached,0}end
end
local micros
local function now()
if not micros then
local clock=call('TIME')
micros=clock[1]*1000000+clock[2]
end
return micros
end
local function unix(date)
local y,m,d,h,min,s=string.match(date,'^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)')
if not y then return 0 end
local floor=math.floor
m=(m+9)%12
y=y - floor(m/10)
local days=365*y+floor(y/4)- floor(y/100)+floor(y/400)+floor((153*m+2)/5)+d - 719469
return days*86400+h*3600+min*60+s
end
local at=8
local function take(count)
local first=at
at=at+count
return unpack(ARGV,first,at - 1)
end
local function take_list()
local first=at+1
at=first+tonumber(ARGV[at])
return first,at - 1
end
local WAITS={scheduled=true,queued=true,deferred=true,rate_limited=true,ready_to_enqueue=true}
local ENDED={finished=true,failed=true,stopped=true,canceled=true}
local function read_job()
local job={}
job.id,job.queue,job.side,job.ttl,job.after,job.due,job.kind,job.mark,job.seconds,job.print,job.longest,
job.group,job.limit,job.concurrency,job.allow=take(15)
job.parents,job.parents_end=take_list()
job.fields,job.fields_end=take_list()
job.callback=take(1)
if job.callback~='' then job.callback_fields,job.callback_end=take_list()end
return job
end
local function decide(job)
job.outcome='created'
if job.kind~='' then
job.mark=P..':mark:'..job.mark
local id,print=unpack(call('HMGET',job.mark,'id','call'))
if id then
job.marked={id,print}
if job.kind=='idempotency' and print~=job.print then return false end
local status,calls,origin,since=unpack(call('HMGET',P..':job:'..id,'status','call','origin','debounced_at'))
if job.kind~='debounce' or string.find(calls or '',token,1,true)then
job.id,job.outcome,job.status=id,'known',status or 'expired'
return true
end
if WAITS[status] then
job.id,job.outcome,job.status,job.calls,job.origin,job.since=id,'replaced',status,calls,origin,since
return true
end
end
end
local status,origin,ended,by,data=unpack(call('HMGET',P..':job:'..job.id,'status','origin','ended_at','call','data'))
if not(status or data)then return true end
job.origin,job.status,job.ended=origin or job.queue,status or 'queued',ended or ''
job.again=ENDED[status] and job.after~='' and by~=token and unix(job.ended)+job.after<=now()/1000000
if not job.again then job.outcome='known' end
return true
end
local jobs={}
for index=1,tonumber(ARGV[7])do
jobs[index]=read_job()
if not decide(jobs[index])then return{'conflict',false,index}end
end
local undo,queues,pushes={},{},{}
local function add_to(command,key,...)
if call(command,key,...)==1 and command=='SADD' then undo[#undo+1]={'SREM',key,...}end
end
local function know_queue(queue)
if queues[queue] then return end
queues[queue]=true
add_to('SADD',KEYS[1],P..':queue:'..queue)
end
local function push(queue,side,id)
local key=P..':queue:'..queue
local list=pushes[side..key]
if not list then
list={side..'PUSH',key}
pushes[side..key],pushes[#pushes+1]=list,list
end
list[#list+1]=id
end
local function clear(key)
call('HDEL',key,'meta','number_of_retries','retries_left','retry_intervals','enqueue_at_front_on_retry',
'enqueue_at_front','result_ttl','failure_ttl','ttl')
call('PERSIST',key)
end
local function run_again(job,key)
local left=call('TTL',key)
undo[#undo+1]={'EXPIRE',key,left}
if left<0 then undo[#undo]={'PERSIST',key}end
undo[#undo+1]={'HSET',key,'status',job.status,'ended_at',job.ended,'origin',job.origin}
clear(key)
end
local function due_of(job)
if job.due=='' then return nil end
local value=tonumber(string.sub(job.due,2))
if string.sub(job.due,1,1)=='+' then value=math.ceil((now()+value*1000)/1000000)end
if job.longest~='' then value=math.min(value,math.ceil((tonumber(job.since)or now()/1000000)+tonumber(job.longest)))end
if value*1000000>now()then return value end
end
local function must_wait(job)
for parent=job.parents,job.parents_end do
local status=call('HGET',P..':job:'..ARGV[parent],'status')
if status and status~='finished' and not(status=='failed' and job.allow=='1')then return true end
end
return false
end
local function defer(id,queue,ttl,first,last)
for parent=first,last do
local dependents=P..':job:'..ARGV[parent]..':dependents'
add_to('SADD',dependents,id)
call('PERSIST',dependents)
add_to('SADD',P..':job::'..id..':dependencies',ARGV[parent])
end
if ttl~='' then call('EXPIRE',P..':job::'..id..':dependencies',ttl)end
undo[#undo+1]={'ZREM',P..':deferred:'..queue,id}
call('ZADD',P..':deferred:'..queue,math.floor(now()/1000000)+(tonumber(ttl)or 0),id)
end
local function write_mark(job)
if job.kind=='' then return end
undo[#undo+1]={'EXPIRE',job.mark,job.marked and job.seconds or 0}
if job.marked then undo[#undo+1]={'HSET',job.mark,'id',job.marked[1],'call',job.marked[2]}end
call('HSET',job.mark,'id',job.id,'call',job.print)
call('EXPIRE',job.mark,job.seconds)
end
local function create(job,index)
local key=P..':job:'..job.id
if job.again then
run_again(job,key)
else
undo[#undo+1]={'EXPIRE',key,0}
end
know_queue(job.queue)
local due=due_of(job)
local status='queued'
if job.parents_end>=job.parents and must_wait(job)then
status='deferred'
elseif due then
status='scheduled'
elseif job.limit~='' then
status='rate_limited'
end
local queued=status=='queued' and moment or ''
call('HSET',key,'created_at',moment,'enqueued_at',queued,'status',status,unpack(ARGV,job.fields,job.fields_end))
if queued=='' then call('HDEL',key,'enqueued_at')end
if job.ttl~='' then call('EXPIRE',key,job.ttl)end
if job.kind=='debounce' then
call('HSET',key,'call',token,'debounced_at',string.format('%.3f',now()/1000000))
end
if job.group~='' then
add_to('SADD',P..':group:'..job.group,job.id)
add_to('SADD',P..':groups',job.group)
end
write_mark(job)
if status=='deferred' then
defer(job.id,job.queue,job.ttl,job.parents,job.parents_end)
elseif status=='scheduled' then
undo[#undo+1]={'ZREM',P..':scheduled:'..job.queue,job.id}
call('ZADD',P..':scheduled:'..job.queue,due,job.id)
elseif status=='rate_limited' then
local limit_key=P..':rl:'..job.limit
add_to('SADD',P..':rl-keys',job.limit)
if call('HSET',limit_key,'concurrency',job.concurrency)==1 then undo[#undo+1]={'HDEL',limit_key,'concurrency'}end
undo[#undo+1]={'ZREM',limit_key..':rate_limited',job.id}
call('ZADD',limit_key..':rate_limited',string.format('%.6f',(now()+index)/1000000),job.id)
else
push(job.queue,job.side,job.id)
end
job.status=status
end
local function replace(job)
local key=P..':job:'..job.id
clear(key)
call('HSET',key,unpack(ARGV,job.fields,job.fields_end))
call('HSET',key,'call',string.sub(token..' '..(job.calls or ''),1,330))
write_mark(job)
if job.status=='scheduled' then
know_queue(job.queue)
call('ZADD',P..':scheduled:'..job.queue,due_of(job)or math.floor(now()/1000000),job.id)
if job.origin~=job.queue then call('ZREM',P..':scheduled:'..job.origin,job.id)end
elseif job.origin~=job.queue then
call('HSET',key,'origin',job.origin)
end
end
local function add_callback(job)
local id,key=job.callback,P..':job:'..job.callback
if call('EXISTS',key)==1 then return end
undo[#undo+1]={'EXPIRE',key,0}
call('HSET',key,'created_at',moment,unpack(ARGV,job.callback_fields,job.callback_end))
if ENDED[job.status] or job.status=='expired' then
call('HSET',key,'status','queued','enqueued_at',moment)
know_queue(job.queue)
push(job.queue,'R',id)
else
local dependents=P..':job:'..job.id..':dependents'
add_to('SADD',dependents,id)
call('PERSIST',dependents)
add_to('SADD',P..':job::'..id..':dependencies',job.id)
undo[#undo+1]={'ZREM',P..':deferred:'..job.queue,id}
call('ZADD',P..':deferred:'..job.queue,math.floor(now()/1000000),id)
end
end
local function write()
local limits={}
for index,job in ipairs(jobs)do
if job.outcome=='created' then create(job,index)end
if job.outcome=='replaced' then replace(job)end
if job.callback~='' then add_callback(job)end
if job.status=='rate_limited' and job.limit~='' then limits[job.limit]=tonumber(job.concurrency)end
end
for _,list in ipairs(pushes)do
for place=3,#list do undo[#undo+1]={'LREM',list[2],1,list[place]}end
call(unpack(list))
end
for _,job in ipairs(jobs)do
for _,kind in ipairs(job.again and{'finished','failed','canceled'}or{})do
call('ZREM',P..':'..kind..':'..job.origin,job.id)
end
end
for key,concurrency in pairs(limits)do
give_places(P,key,concurrency,string.format('%.6f',now()/1000000),moment)
end
end
local well,problem=pcall(write)
if not well then
for step=#undo,1,-1 do
local reply=redis.pcall(unpack(undo[step]))
if type(reply)=='table' and undo[step][3]==0 then redis.pcall('DEL',undo[step][2])end
end
if type(problem)=='table' and not redis.REDIS_VERSION_NUM then problem=problem.err end
error(problem,0)
end
local answer={'done',cached,0}
for index,job in ipairs(jobs)do
if job.outcome=='created' and job.status=='rate_limited' then
job.status=call('HGET',P..':job:'..job.id,'status')
end
answer[index+3]={job.outcome,job.id,job.status}
end
return answer
`;
export const CANCEL = PLACES + `local call=redis.call
local id,P,clock=ARGV[1],ARGV[2],call('TIME')
local status,origin,limit=unpack(call('HMGET',KEYS[1],'status','origin','rate_limit_key'))
if not origin then return{'missing',''}end
if status=='finished' or status=='failed' or status=='stopped' or status=='canceled' then
return{'over',status}
end
call('HSET',KEYS[1],'status','canceled')
call('LREM',P..':queue:'..origin,1,id)
call('ZREM',P..':deferred:'..origin,id)
call('ZREM',P..':scheduled:'..origin,id)
local runs=false
local executions=call('ZRANGE',P..':executions:'..id,0,-1,'WITHSCORES')
for at=1,#executions,2 do
call('ZREM',P..':wip:'..origin,id..':'..executions[at])
runs=runs or tonumber(executions[at+1])>tonumber(clock[1])
end
call('ZADD',P..':canceled:'..origin,clock[1],id)
for _,callback in ipairs(call('SMEMBERS',KEYS[1]..':dependents'))do
local key=P..':job:'..callback
if string.sub(callback,1,9)=='callback-' and call('HGET',key,'status')=='deferred' then
local queue=call('HGET',key,'origin')
call('HSET',key,'status','canceled')
call('ZREM',P..':deferred:'..queue,callback)
call('ZADD',P..':canceled:'..queue,clock[1],callback)
end
end
if limit then
local rl=P..':rl:'..limit
call('ZREM',rl..':rate_limited',id)
if not runs and call('ZREM',rl..':allowed',id)==1 then
local concurrency=tonumber(call('HGET',rl,'concurrency')or '')
if concurrency then give_places(P,limit,concurrency,string.format('%d.%06d',clock[1],clock[2]),ARGV[3])end
end
end
return{'canceled','canceled'}
`;
export const READ = `local call=redis.call
local count=call('INCR',KEYS[3])
if count==1 then call('EXPIRE',KEYS[3],ARGV[2])end
if count>tonumber(ARGV[1])then return{'limited',call('TTL',KEYS[3])}end
return{'read',call('HMGET',KEYS[1],unpack(ARGV,3)),call('XREVRANGE',KEYS[2],'+','-','COUNT',1)}
`;
