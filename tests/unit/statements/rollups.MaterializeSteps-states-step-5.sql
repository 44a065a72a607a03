-- p0 = [4267151435622835425]
-- p1 = 7
INSERT INTO staged (series, watermark)
SELECT arrayJoin({p0:Array(UInt64)}) AS series, {p1:UInt64} AS watermark
