-- p0 = [15283822679135515944, 15557735203591234508]
-- p1 = 7
INSERT INTO staged (series, watermark)
SELECT arrayJoin({p0:Array(UInt64)}) AS series, {p1:UInt64} AS watermark
