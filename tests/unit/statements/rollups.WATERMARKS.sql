SELECT series, max(watermark)
FROM rollups
WHERE organization = ''
GROUP BY series
