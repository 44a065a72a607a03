-- p0 = 'call'
-- p1 = 'ns'
-- p2 = 'acme'
-- p3 = 9
-- p4 = 1772323200000000
-- p5 = [1772323200000000, 1772366400000000]
-- p6 = 'model'
-- p7 = 'input'
-- p8 = 'output'
SELECT roundDown(toUnixTimestamp64Micro(time), {p5:Array(Int64)}) AS window, multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') AS g0, [toString(sumIf(numbers[{p7:String}], type = {p0:String}
        AND mapContains(numbers, {p7:String})
        AND mapContains(numbers, {p8:String}))), toString(sumIf(numbers[{p8:String}], type = {p0:String}
        AND mapContains(numbers, {p7:String})
        AND mapContains(numbers, {p8:String})))], countIf(type = {p0:String}
    AND mapContains(numbers, {p7:String})
    AND mapContains(numbers, {p8:String})), [toString(countIf(type = {p0:String}))], countIf(type = {p0:String})
FROM events
WHERE namespace = {p1:String}
AND organization = {p2:String}
AND commit <= {p3:UInt64}
AND type IN ({p0:String})
AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
GROUP BY window, g0
