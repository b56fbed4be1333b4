module rtcstack.test/pion

go 1.19
